// SPDX-License-Identifier: Apache-2.0

// WorkQueue runs tasks that may block (a child process, an unmount) on at most `max_threads`
// threads, which exist only while there is work. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace ctrd::runtime {

class WorkQueue {
 public:
  explicit WorkQueue(size_t max_threads) : max_threads_(max_threads) {}
  ~WorkQueue() { Stop(); }

  // Runs `task` soon. After Stop it is dropped.
  void Post(std::function<void()> task);
  // Waits for what is running and drops what is not.
  void Stop();

 private:
  void Work();

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> tasks_;
  size_t threads_ = 0;
  bool stopped_ = false;
};

}  // namespace ctrd::runtime
