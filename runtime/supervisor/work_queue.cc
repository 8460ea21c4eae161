// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/work_queue.h"

#include <thread>
#include <utility>

namespace ctrd::runtime {

void WorkQueue::Post(std::function<void()> task) {
  const std::scoped_lock lock(mutex_);
  if (stopped_) return;
  tasks_.push_back(std::move(task));
  if (threads_ == max_threads_) return;
  ++threads_;
  std::thread([this] { Work(); }).detach();  // Stop waits for it by count.
}

void WorkQueue::Work() {
  std::unique_lock lock(mutex_);
  while (!tasks_.empty()) {
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
  // Under the lock: once Stop sees the count, this object may go.
  --threads_;
  idle_.notify_all();
}

void WorkQueue::Stop() {
  std::deque<std::function<void()>> dropped;
  std::unique_lock lock(mutex_);
  stopped_ = true;
  dropped.swap(tasks_);
  idle_.wait(lock, [this] { return threads_ == 0; });
}

}  // namespace ctrd::runtime
