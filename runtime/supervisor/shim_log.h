// SPDX-License-Identifier: Apache-2.0

// ShimLog copies what a shim writes into the FIFO `log` of its bundle to the daemon's log. It holds
// the FIFO open for reading and writing, so that the shim's open never blocks.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace ctrd::runtime {

class ShimLog {
 public:
  // Copies on `loop`, which outlives the object, until that is dropped.
  static absl::StatusOr<std::unique_ptr<ShimLog>> Open(base::EventLoop* loop,
                                                       const std::string& fifo,
                                                       const std::string& task_id);
  ~ShimLog();

 private:
  struct Copier;
  ShimLog(base::EventLoop* loop, std::shared_ptr<Copier> copier)
      : loop_(loop), copier_(std::move(copier)) {}

  base::EventLoop* const loop_;
  std::shared_ptr<Copier> copier_;
};

}  // namespace ctrd::runtime
