// SPDX-License-Identifier: Apache-2.0

// Reaper collects every child of this process, ours and those that fall to us as their subreaper,
// and tells whoever watches a pid how it ended. One per process; it owns SIGCHLD.
//
//   Attention attention = reaper.PayAttention();   // exits of unknown pids are kept from here …
//   … the runtime starts a container and writes its pid …
//   reaper.Watch(pid, on_exit);                    // … so that one that is over is not lost
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace ctrd::runtime::runc {

struct Exit {
  int status = 0;  // The exit code, or 128 + the signal.
  absl::Time at;   // When it was reaped.
};

class Reaper {
 public:
  using OnExit = std::function<void(Exit)>;
  using Attention = std::shared_ptr<void>;

  // Blocks SIGCHLD in the calling thread, which must be the only one.
  static absl::StatusOr<std::unique_ptr<Reaper>> Create(base::EventLoop* loop);
  ~Reaper();

  // Calls `on_exit` once, from the loop, when `pid` has ended. A pid that is watched already
  // belongs to the new watch: the number was used again.
  void Watch(pid_t pid, OnExit on_exit);
  Attention PayAttention();
  // Whether `pid` is a child that fell to us and that nobody watches.
  bool IsOrphan(pid_t pid) const;

 private:
  Reaper(base::EventLoop* loop, base::UniqueFd signals)
      : loop_(loop), signals_(std::move(signals)) {}
  void Reap();

  base::EventLoop* const loop_;
  const base::UniqueFd signals_;
  std::map<pid_t, OnExit> watches_;
  std::map<pid_t, Exit> unknown_;  // While somebody pays attention.
  std::weak_ptr<void> attention_;
};

}  // namespace ctrd::runtime::runc
