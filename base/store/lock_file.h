// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ctrd::store {

// Creates `path` where it is missing and holds an exclusive flock on it for as long as the
// descriptor lives. Waits at most `timeout`, which may be infinite.
//   kFailedPrecondition  "… is in use by another process"
absl::StatusOr<base::UniqueFd> HoldLockFile(const std::string& path, absl::Duration timeout);

}  // namespace ctrd::store
