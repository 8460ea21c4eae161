// SPDX-License-Identifier: Apache-2.0

// What a task asks of its runtime that not every runtime can do.
// Source document: docs/api/shim.md, section 6.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace ctrd::runtime {

// Does a mount of the spec (JSON) map ids? What is no spec maps none.
bool UsesIdMappedMounts(std::string_view spec);

// `info`: an encoded containerd.types.RuntimeInfo.
//   kUnknown  "idmap mounts not supported: …"
absl::Status CheckIdMappedMounts(const std::string& info);

// The types of mounts that the shim of `info` makes itself: its annotation
// containerd.io/runtime-allow-mounts.
std::vector<std::string> MountsOfRuntime(const std::string& info);

}  // namespace ctrd::runtime
