// SPDX-License-Identifier: Apache-2.0

// What a spec asks of the runtime that not every runtime can do.
// Source document: docs/api/shim.md, section 6.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ctrd::runtime {

// Does a mount of the spec (JSON) map ids? What is no spec maps none.
bool UsesIdMappedMounts(std::string_view spec);

// `info`: an encoded containerd.types.RuntimeInfo.
//   kUnknown  "idmap mounts not supported: …"
absl::Status CheckIdMappedMounts(const std::string& info);

}  // namespace ctrd::runtime
