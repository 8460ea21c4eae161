// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/task_waits.h"

#include <utility>

namespace ctrd::runtime {

void Waiter::Finish(const absl::StatusOr<Exit>& result) {
  const std::scoped_lock lock(mutex_);
  if (const auto done = std::exchange(done_, nullptr)) done(result);
}

void Waiter::Drop() {
  const std::scoped_lock lock(mutex_);
  done_ = nullptr;
}

bool TaskWaits::Add(const std::string& exec_id, std::weak_ptr<Waiter> waiter) {
  const std::scoped_lock lock(mutex_);
  const auto [it, first] = waiters_.try_emplace(exec_id);
  std::erase_if(it->second, [](const auto& other) { return other.expired(); });
  it->second.push_back(std::move(waiter));
  return first;
}

void TaskWaits::Finish(const std::string& exec_id, const absl::StatusOr<Exit>& result) {
  std::vector<std::weak_ptr<Waiter>> ended;
  {
    const std::scoped_lock lock(mutex_);
    if (auto node = waiters_.extract(exec_id)) ended = std::move(node.mapped());
  }
  for (const auto& weak : ended) {
    if (const auto waiter = weak.lock()) waiter->Finish(result);
  }
}

}  // namespace ctrd::runtime
