// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ctrd::base {

// Opens `path` below the open `directory`, close-on-exec, where no symbolic link is expected: one
// in `path`, and a way out of the directory, is an error (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS).
// Where links may be met, see OpenInRoot in base/files.h. Thread-safe.
absl::StatusOr<UniqueFd> OpenBeneath(int directory, const std::string& path, int flags,
                                     mode_t mode = 0);

}  // namespace ctrd::base
