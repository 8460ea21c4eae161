// SPDX-License-Identifier: Apache-2.0

// TaskWaits: who waits for which process of a task. All waiters of a process share one call to the
// shim, so a waiter that gives up leaves nothing behind. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/task_runtime.h"

namespace ctrd::runtime {

// One waiter. `done` is called at most once, and not after Drop has returned (from `done` itself
// Drop may be called too).
class Waiter {
 public:
  explicit Waiter(TaskRuntime::WaitDone done) : done_(std::move(done)) {}
  void Finish(const absl::StatusOr<Exit>& result);
  void Drop();

 private:
  std::recursive_mutex mutex_;
  TaskRuntime::WaitDone done_;
};

class TaskWaits {
 public:
  // Adds a waiter for process `exec_id`. True: it is the first, and the caller asks the shim.
  bool Add(const std::string& exec_id, std::weak_ptr<Waiter> waiter);
  // Ends the waits of process `exec_id`.
  void Finish(const std::string& exec_id, const absl::StatusOr<Exit>& result);

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<std::weak_ptr<Waiter>>> waiters_;
};

}  // namespace ctrd::runtime
