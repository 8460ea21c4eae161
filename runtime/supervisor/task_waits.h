// SPDX-License-Identifier: Apache-2.0

// TaskWaits: who waits for which process of a task. All waiters of a process share one call to the
// shim, so a waiter that gives up leaves nothing behind. They may come before there is a connection
// to the shim and outlast its loss: whoever makes one asks for all of them. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/waiter.h"

namespace ctrd::runtime {

class TaskWaits {
 public:
  // Adds a waiter for process `exec_id`. True: the caller asks the shim.
  bool Add(const std::string& exec_id, std::weak_ptr<Waiter> waiter);
  // Ends the waits of process `exec_id`.
  void Finish(const std::string& exec_id, const absl::StatusOr<Exit>& result);
  // There is a connection: the processes the caller asks the shim for.
  std::vector<std::string> Connected();
  // The connection is lost, and what was asked over it; the waiters stay.
  void Disconnected();
  // The task is gone; whoever comes later gets the same.
  void End(const absl::Status& status);

 private:
  struct Process {
    bool asked = false;
    std::vector<std::weak_ptr<Waiter>> waiters;
  };
  static void Tell(const std::vector<std::weak_ptr<Waiter>>& waiters,
                   const absl::StatusOr<Exit>& result);

  std::mutex mutex_;
  bool connected_ = false;
  absl::Status ended_;  // Not OK: End was called.
  std::map<std::string, Process> processes_;
};

}  // namespace ctrd::runtime
