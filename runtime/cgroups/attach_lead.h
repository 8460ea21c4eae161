// SPDX-License-Identifier: Apache-2.0

// AttachLead: the wait for the kernel that the first move of a process into a cgroup costs, taken
// while something else is done.
//
// A move takes a lock that every fork and exit of the machine takes, too. To make these cheap, the
// writer that comes first waits for a whole grace period of RCU, 8 to 12 ms at 250 ticks a second;
// one that comes within a grace period after another does not. The OCI runtime moves a process when
// it makes a container or runs another process in one, after a good while in which it only starts
// itself. A lead makes a move that moves nothing when such work begins, and goes on for as long as
// it lasts: then the runtime's own finds the way free. Where the kernel does not work that way
// (cgroup_favordynmods) it costs a few system calls.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"

namespace ctrd::runtime::cgroups {

class AttachLead {
 public:
  AttachLead() = default;
  AttachLead(const AttachLead&) = delete;
  AttachLead& operator=(const AttachLead&) = delete;
  ~AttachLead();

  // Begins, or goes on, for `time` from now, and for one move at least. Returns at once;
  // thread-safe. This process stays in the cgroups it is in.
  void Take(absl::Duration time);
  int64_t moves() const;  // That were made so far.

 private:
  void Work();
  void Move();
  void Locate();

  mutable std::mutex mutex_;  // Guards these:
  std::condition_variable changed_;
  absl::Time until_ = absl::InfinitePast();
  bool asked_ = false, stopping_ = false;
  int64_t moves_ = 0;
  std::thread thread_;  // Begins with the first lead.
  // Of that thread:
  std::string membership_;  // /proc/self/cgroup, as it was when `file_` was found.
  std::string file_;        // "" if there is none.
};

}  // namespace ctrd::runtime::cgroups
