// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ctrd::mounts {

// A name to be made, in the open directory that will hold it.
struct AllowedPath {
  base::UniqueFd directory;
  std::string name;
};

// `path` below one of `roots`, its directory found without following symbolic links from there on.
//   kUnimplemented    `no root "<path>" configured for <purpose>: not implemented`
//   kInvalidArgument  it is not absolute, or has parts that are empty, "." or ".."
absl::StatusOr<AllowedPath> FindAllowed(const std::string& path,
                                        const std::vector<std::string>& roots,
                                        std::string_view purpose);

}  // namespace ctrd::mounts
