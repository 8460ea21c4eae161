// SPDX-License-Identifier: Apache-2.0
#include "base/unique_fd.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace ctrd::base {

void UniqueFd::Reset(int fd) {
  const int old = std::exchange(fd_, fd);
  if (old < 0) return;
  const int saved_errno = errno;
  // Not retried on EINTR: Linux has freed the number, and another thread may own it by now.
  // EBADF means someone closed a descriptor of ours, so another file may be in danger: stop.
  if (::close(old) != 0 && errno == EBADF) std::abort();
  errno = saved_errno;
}

}  // namespace ctrd::base
