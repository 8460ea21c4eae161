// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace ctrd {

// The release of the API this daemon serves; clients parse it as a semantic version.
inline constexpr char kVersion[] = "v2.3.4";
// What was built: the commit, or "unknown" outside of a checkout.
extern const char* const kRevision;
inline constexpr char kPackage[] = "github.com/containerd/containerd/v2";

}  // namespace ctrd
