// SPDX-License-Identifier: Apache-2.0

// Templates in mounts of the transformer "format": words between "{{" and "}}" that stand for what
// was mounted before in the same activation.
//
//   {{ source i }}   {{ target i }}   {{ mount i }}: the mount point   {{ overlay a b }}: the mount
//   points a to b with colons between them, descending if a is the greater one
//
// Source document: docs/api/mounts.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mount_manager.h"

namespace ctrd::mounts {

//   kInvalidArgument  the words mean nothing, or "index out of bounds: i, has n active mounts"
absl::StatusOr<std::string> Expand(std::string_view text,
                                   const std::vector<base::ActiveMount>& active);

// Expands source, target and options.
absl::Status ExpandMount(base::Mount& mount, const std::vector<base::ActiveMount>& active);

bool HasTemplate(const base::Mount& mount);

}  // namespace ctrd::mounts
