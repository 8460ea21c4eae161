// SPDX-License-Identifier: Apache-2.0
#include "base/store/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::store {
namespace {

// flock has no timed form: a short pause between attempts.
constexpr absl::Duration kRetryPause = absl::Milliseconds(20);

}  // namespace

absl::StatusOr<base::UniqueFd> HoldLockFile(const std::string& path, absl::Duration timeout) {
  base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return base::ErrnoStatus("open lock file", path);
  const bool for_ever = timeout == absl::InfiniteDuration();
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    if (::flock(fd.get(), for_ever ? LOCK_EX : LOCK_EX | LOCK_NB) == 0) return fd;
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return base::ErrnoStatus("flock", path);
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    absl::SleepFor(std::min(left, kRetryPause));
  }
  return base::FailedPrecondition("'{}' is in use by another process", path);
}

}  // namespace ctrd::store
