// SPDX-License-Identifier: Apache-2.0

// EventLoop: one thread that waits for many descriptors and timers (epoll). Everything registered
// is called on the thread that is in Run, one after another, and must not block.
//
// Only Post and Stop may be called from other threads; all else belongs to the loop's thread, or to
// the one that builds things up before Run. A callback may remove any watch or timer, its own too:
// after that the callback is not called again, even if its event had already been fetched.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ctrd::base {

class EventLoop {
 public:
  using Ready = std::function<void(uint32_t epoll_events)>;
  using Task = std::function<void()>;
  using TimerId = std::pair<int64_t, uint64_t>;  // {when, number}

  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Watches a borrowed descriptor, level-triggered unless EPOLLET is asked for. It must be removed
  // before it is closed.
  absl::Status Add(int fd, uint32_t epoll_events, Ready ready);
  void Modify(int fd, uint32_t epoll_events);
  void Remove(int fd);  // Unknown descriptors are fine.

  // Calls `task` once, on the monotonic clock.
  TimerId After(absl::Duration delay, Task task);
  void Cancel(TimerId timer);  // One that has fired is fine.

  // Calls `task` soon, in the order of the posts.
  void Post(Task task);

  void Run();  // Until Stop; may be called again. Tasks posted before Stop still run.
  void Stop();
  bool InLoopThread() const { return thread_.load() == std::this_thread::get_id(); }

 private:
  struct Watch {
    uint32_t generation;
    std::shared_ptr<Ready> ready;
  };

  EventLoop(UniqueFd epoll, UniqueFd wakeup);
  int NextTimeout() const;  // Milliseconds for epoll_wait.
  void RunTimers();
  void RunPosted();
  void Dispatch(uint64_t key, uint32_t events);

  UniqueFd epoll_, wakeup_;
  std::unordered_map<int, Watch> watches_;
  uint32_t next_generation_ = 1;
  std::map<TimerId, Task> timers_;
  uint64_t next_timer_ = 1;
  std::atomic<bool> stopped_ = false;
  std::atomic<std::thread::id> thread_;
  std::mutex mutex_;
  std::vector<Task> posted_;  // Guarded by mutex_.
};

// A loop with a thread of its own, for as long as the object lives.
class EventLoopThread {
 public:
  static absl::StatusOr<std::unique_ptr<EventLoopThread>> Create();
  ~EventLoopThread();  // Stops the loop and joins the thread.
  EventLoop* loop() { return loop_.get(); }

 private:
  explicit EventLoopThread(std::unique_ptr<EventLoop> loop);
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

}  // namespace ctrd::base
