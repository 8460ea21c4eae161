// SPDX-License-Identifier: Apache-2.0

// What a mount's type asks for before it is mounted: "format/mkdir/overlay" is an overlay whose
// templates are to be replaced and whose directories are to be made. And what a type that the
// kernel does not take from a file needs.
//
// Files and directories are made below the given roots only, found without following symbolic
// links: what is mounted there comes from images.
//
// Source document: docs/api/mounts.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mount_manager.h"

namespace ctrd::mounts {

struct TypedMount {
  std::vector<std::string_view> transformers;  // Left to right. They point into the type given.
  std::string_view type;                       // The real one.
};
TypedMount SplitType(std::string_view type);

// Applies the transformers of `mount` and takes them off its type and options.
//   kInvalidArgument  a template or an option is malformed
//   kUnimplemented    `no root "<path>" configured for mkdir: not implemented`; a directory that is
//                     there already with another mode or owner
absl::Status Transform(base::Mount& mount, const std::vector<base::ActiveMount>& active,
                       const std::vector<std::string>& roots);

// Mounts `mount`, whose transformers are gone, onto `directory`; through its handler if it has one.
absl::Status MountPrepared(const base::Mount& mount, const std::string& directory);

}  // namespace ctrd::mounts
