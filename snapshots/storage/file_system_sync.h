// SPDX-License-Identifier: Apache-2.0

// FileSystemSync puts all that was written to a file system on disk. Calls that come in while a
// sync runs share the next one: many layers that are committed together cost two syncs, not many.
// Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"

namespace ctrd::snapshots {

class FileSystemSync {
 public:
  // Of the file system that `directory`, an open descriptor, lies in.
  explicit FileSystemSync(base::UniqueFd directory) : directory_(std::move(directory)) {}

  // On return, what was written before the call is on disk.
  absl::Status Sync();

 private:
  const base::UniqueFd directory_;
  absl::Mutex mutex_;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t started_ ABSL_GUARDED_BY(mutex_) = 0;   // Syncs begun so far.
  uint64_t finished_ ABSL_GUARDED_BY(mutex_) = 0;  // Syncs ended so far.
  uint64_t failed_ ABSL_GUARDED_BY(mutex_) = 0;    // The last of them that failed, …
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);   // … and why.
};

}  // namespace ctrd::snapshots
