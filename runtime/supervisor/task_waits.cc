// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/task_waits.h"

#include <utility>

namespace ctrd::runtime {

void TaskWaits::Tell(const std::vector<std::weak_ptr<Waiter>>& waiters,
                     const absl::StatusOr<Exit>& result) {
  for (const auto& weak : waiters) {
    if (const auto waiter = weak.lock()) waiter->Finish(result);
  }
}

bool TaskWaits::Add(const std::string& exec_id, std::weak_ptr<Waiter> waiter) {
  std::unique_lock lock(mutex_);
  if (!ended_.ok()) {
    const absl::Status status = ended_;
    lock.unlock();
    Tell({std::move(waiter)}, status);
    return false;
  }
  Process& process = processes_[exec_id];
  // Now and then, so that those who gave up do not pile up and many who stay cost little.
  if (process.waiters.size() == process.waiters.capacity()) {
    std::erase_if(process.waiters, [](const auto& other) { return other.expired(); });
  }
  process.waiters.push_back(std::move(waiter));
  return connected_ && !std::exchange(process.asked, true);
}

void TaskWaits::Finish(const std::string& exec_id, const absl::StatusOr<Exit>& result) {
  std::vector<std::weak_ptr<Waiter>> ended;
  {
    const std::scoped_lock lock(mutex_);
    if (auto node = processes_.extract(exec_id)) ended = std::move(node.mapped().waiters);
  }
  Tell(ended, result);
}

std::vector<std::string> TaskWaits::Connected() {
  const std::scoped_lock lock(mutex_);
  connected_ = true;
  std::vector<std::string> unasked;
  for (auto& [exec_id, process] : processes_) {
    if (!std::exchange(process.asked, true)) unasked.push_back(exec_id);
  }
  return unasked;
}

void TaskWaits::Disconnected() {
  const std::scoped_lock lock(mutex_);
  connected_ = false;
  for (auto& [exec_id, process] : processes_) process.asked = false;
}

void TaskWaits::End(const absl::Status& status) {
  std::map<std::string, Process> processes;
  {
    const std::scoped_lock lock(mutex_);
    ended_ = status;
    processes.swap(processes_);
  }
  for (const auto& [exec_id, process] : processes) Tell(process.waiters, status);
}

}  // namespace ctrd::runtime
