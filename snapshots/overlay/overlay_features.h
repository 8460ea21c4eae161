// SPDX-License-Identifier: Apache-2.0

// What the kernel and the file system below can do for overlays. Internal to snapshots/overlay.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ctrd::snapshots {

// Whether `release` ("6.1.0-13-amd64") is `major`.`minor` or later.
bool IsKernelAtLeast(std::string_view release, int major, int minor);

bool InUserNamespace();
bool CanMapIds();                              // Lower directories may be id-mapped mounts.
bool NeedsUserXattr(const std::string& root);  // "userxattr" is possible and needed.
bool HasIndex();                               // The kernel knows the option "index".
absl::StatusOr<bool> SupportsEntryTypes(const std::string& directory);  // readdir tells d_type.

}  // namespace ctrd::snapshots
