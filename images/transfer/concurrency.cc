// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/concurrency.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

namespace ctrd::transfer {
namespace {

// How soon a waiter notices that its caller has gone.
constexpr auto kCheckInterval = std::chrono::milliseconds(100);

}  // namespace

absl::StatusOr<Limiter::Slot> Limiter::Acquire(const base::Context& context) {
  std::unique_lock lock(mutex_);
  while (free_ == 0) {
    released_.wait_for(lock, kCheckInterval);
    if (absl::Status status = context.Check(); !status.ok()) return status;
  }
  --free_;
  return Slot(this);
}

Limiter::Slot::~Slot() {
  if (limiter_ == nullptr) return;
  const std::lock_guard lock(limiter_->mutex_);
  ++limiter_->free_;
  limiter_->released_.notify_one();
}

absl::StatusOr<KeyedLocks::Held> KeyedLocks::Lock(const base::Context& context,
                                                  const std::string& key) {
  std::unique_lock lock(mutex_);
  while (held_.contains(key)) {
    released_.wait_for(lock, kCheckInterval);
    if (absl::Status status = context.Check(); !status.ok()) return status;
  }
  held_.insert(key);
  return Held(this, key);
}

KeyedLocks::Held::~Held() {
  if (locks_ == nullptr) return;
  const std::lock_guard lock(locks_->mutex_);
  locks_->held_.erase(key_);
  locks_->released_.notify_all();
}

absl::Status ForEachInParallel(size_t count, size_t width,
                               const std::function<absl::Status(size_t)>& work) {
  std::mutex mutex;
  size_t next = 0;
  absl::Status first;
  const auto run = [&] {
    while (true) {
      size_t mine = 0;
      {
        const std::lock_guard lock(mutex);
        if (next >= count || !first.ok()) return;
        mine = next++;
      }
      absl::Status status = work(mine);
      const std::lock_guard lock(mutex);
      if (first.ok()) first = std::move(status);
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(count, width); ++i) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
  return first;
}

}  // namespace ctrd::transfer
