// SPDX-License-Identifier: Apache-2.0

// Tells when processes of a control group are killed for want of memory.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/cgroups/cgroup.h"

namespace ctrd::runtime::cgroups {

class OomWatch {
 public:
  // Calls `on_kill` from the loop after kills; several that come close together may be one call.
  static absl::StatusOr<std::unique_ptr<OomWatch>> Start(base::EventLoop* loop,
                                                         const Cgroup& cgroup,
                                                         std::function<void()> on_kill);
  // Looks one last time, and calls `on_kill` if there was a kill since.
  ~OomWatch();

 private:
  OomWatch(base::EventLoop* loop, std::function<void()> on_kill)
      : loop_(loop), on_kill_(std::move(on_kill)) {}
  absl::Status StartV1(const std::string& directory);
  absl::Status StartV2(const std::string& directory);
  void Look();
  void LookV1();
  void LookV2();
  void Stop();

  base::EventLoop* const loop_;
  const std::function<void()> on_kill_;
  base::UniqueFd fd_;  // v1: the eventfd; v2: the inotify.
  std::string directory_;
  bool unified_ = false;
  uint64_t seen_kills_ = 0;  // v2.
};

}  // namespace ctrd::runtime::cgroups
