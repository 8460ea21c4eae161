// SPDX-License-Identifier: Apache-2.0

// Waiter: one wait for the end of a process or of a sandbox, between who tells that end and who
// waits for it. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/task_runtime.h"

namespace ctrd::runtime {

class Waiter {
 public:
  explicit Waiter(TaskRuntime::WaitDone done) : done_(std::move(done)) {}
  // Calls `done`, the first time, unless the wait was dropped. `done` may drop it.
  void Finish(const absl::StatusOr<Exit>& result);

  // For who waits: keeps the waiter, and drops the wait as TaskRuntime::Wait says. Others hold it
  // weakly.
  static std::unique_ptr<TaskRuntime::PendingWait> Hold(std::shared_ptr<Waiter> waiter);

 private:
  class Held;

  std::recursive_mutex mutex_;
  TaskRuntime::WaitDone done_;
};

}  // namespace ctrd::runtime
