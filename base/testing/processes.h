// SPDX-License-Identifier: Apache-2.0

// Processes that tests look at, whoever's children they are.
#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace ctrd::base {

// Whether a process ends within that time, or has. A zombie has.
inline bool EndsWithin(pid_t pid, int milliseconds) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return true;
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, milliseconds) == 1;
}

inline bool Runs(pid_t pid) { return !EndsWithin(pid, 0); }
inline bool Ends(pid_t pid) { return EndsWithin(pid, 30'000); }  // At once or soon.

}  // namespace ctrd::base
