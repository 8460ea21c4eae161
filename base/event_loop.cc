// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>

#include "base/status.h"

namespace ctrd::base {
namespace {

constexpr int kBatch = 32;

int64_t MonotonicNanoseconds() {
  timespec now;
  (void)::clock_gettime(CLOCK_MONOTONIC, &now);  // Cannot fail for this clock.
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

uint64_t KeyOf(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus("epoll_create1", "");
  UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup.valid()) return ErrnoStatus("eventfd", "");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakeup.get(), &event) != 0) {
    return ErrnoStatus("epoll_ctl", "eventfd");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(wakeup)));
}

EventLoop::EventLoop(UniqueFd epoll, UniqueFd wakeup)
    : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}

absl::Status EventLoop::Add(int fd, uint32_t epoll_events, Ready ready) {
  const uint32_t generation = next_generation_++;
  epoll_event event{.events = epoll_events, .data = {.u64 = KeyOf(fd, generation)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus("epoll_ctl", std::to_string(fd));
  }
  watches_[fd] = {generation, std::make_shared<Ready>(std::move(ready))};
  return absl::OkStatus();
}

void EventLoop::Modify(int fd, uint32_t epoll_events) {
  const auto watch = watches_.find(fd);
  if (watch == watches_.end()) return;
  epoll_event event{.events = epoll_events, .data = {.u64 = KeyOf(fd, watch->second.generation)}};
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);  // It is there: Add put it there.
}

void EventLoop::Remove(int fd) {
  if (watches_.erase(fd) == 0) return;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::After(absl::Duration delay, Task task) {
  const TimerId id{MonotonicNanoseconds() + absl::ToInt64Nanoseconds(delay), next_timer_++};
  timers_.emplace(id, std::move(task));
  return id;
}

void EventLoop::Cancel(TimerId timer) { timers_.erase(timer); }

void EventLoop::Post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
    if (posted_.size() > 1) return;  // The wake-up of the first is still to be seen.
  }
  const uint64_t one = 1;
  (void)!::write(wakeup_.get(), &one, sizeof(one));  // Full means: a wake-up is pending anyway.
}

void EventLoop::Stop() {
  stopped_ = true;
  Post([] {});
}

int EventLoop::NextTimeout() const {
  if (timers_.empty()) return -1;
  const int64_t left = timers_.begin()->first.first - MonotonicNanoseconds();
  return static_cast<int>(std::clamp<int64_t>((left + 999'999) / 1'000'000, 0, INT_MAX));
}

void EventLoop::RunTimers() {
  const int64_t now = MonotonicNanoseconds();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    const Task task = std::move(timers_.extract(timers_.begin()).mapped());
    task();
  }
}

void EventLoop::RunPosted() {
  uint64_t count;
  (void)!::read(wakeup_.get(), &count, sizeof(count));  // Only resets it.
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) {
    task();
    task = nullptr;  // What it holds is let go before the next one runs.
  }
}

void EventLoop::Dispatch(uint64_t key, uint32_t events) {
  if (key == 0) return RunPosted();
  const auto watch = watches_.find(static_cast<int>(key & 0xffffffff));
  if (watch == watches_.end() || watch->second.generation != key >> 32) return;
  const std::shared_ptr<Ready> ready = watch->second.ready;  // It may remove itself.
  (*ready)(events);
}

void EventLoop::Run() {
  thread_ = std::this_thread::get_id();
  while (!stopped_) {
    epoll_event events[kBatch];
    const int count = ::epoll_wait(epoll_.get(), events, kBatch, NextTimeout());
    for (int i = 0; i < count; ++i) Dispatch(events[i].data.u64, events[i].events);
    RunTimers();
  }
  RunPosted();
  stopped_ = false;
}

absl::StatusOr<std::unique_ptr<EventLoopThread>> EventLoopThread::Create() {
  ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  return std::unique_ptr<EventLoopThread>(new EventLoopThread(std::move(loop)));
}

EventLoopThread::EventLoopThread(std::unique_ptr<EventLoop> loop)
    : loop_(std::move(loop)), thread_([this] { loop_->Run(); }) {}

EventLoopThread::~EventLoopThread() {
  loop_->Stop();
  thread_.join();
}

}  // namespace ctrd::base
