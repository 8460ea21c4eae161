// SPDX-License-Identifier: Apache-2.0
#include "snapshots/storage/file_system_sync.h"

#include <unistd.h>

#include "base/status.h"

namespace ctrd::snapshots {

absl::Status FileSystemSync::Sync() {
  const absl::MutexLock lock(&mutex_);
  // A sync already running may have passed what we wrote; the next one to start has not.
  const uint64_t wanted = started_ + 1;
  const auto may_go_on = [this, wanted] {
    mutex_.AssertReaderHeld();
    return finished_ >= wanted || !running_;
  };
  mutex_.Await(absl::Condition(&may_go_on));
  if (finished_ < wanted) {
    running_ = true;
    const uint64_t number = ++started_;
    mutex_.Unlock();
    const absl::Status status = ::syncfs(directory_.get()) == 0
                                    ? absl::OkStatus()
                                    : base::ErrnoStatus("sync", "file system of snapshots");
    mutex_.Lock();
    running_ = false;
    finished_ = number;
    if (!status.ok()) {
      failed_ = number;
      failure_ = status;
    }
  }
  // A later failure is ours too: it may be about what our sync left behind.
  return failed_ >= wanted ? failure_ : absl::OkStatus();
}

}  // namespace ctrd::snapshots
