// SPDX-License-Identifier: Apache-2.0

// Coroutines for one thread: operations that wait for the event loop, written in the order in which
// they happen.
//
//   Async<absl::Status> Container::Pause(std::shared_ptr<Container> self) {
//     const AsyncMutex::Guard guard = co_await mutex_.Acquire();
//     Completion<absl::Status> paused;
//     runc_.Pause(id_, paused.callback());
//     co_return co_await paused;
//   }
//
// Rules: a coroutine takes its parameters by value and holds what it uses (a shared_ptr to its
// object); it is never a lambda with captures. An await stands in a statement of its own, inside
// braces: g++ 12 gets frames wrong that are awaited in a condition or in the unbraced body of an
// `if`. Nothing here is thread-safe.
#pragma once

#include <coroutine>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "base/event_loop.h"

namespace ctrd::runtime::shim {

// The result of a coroutine, which runs when it is awaited.
template <typename T>
class [[nodiscard]] Async {
 public:
  struct promise_type {
    struct Final {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(
          std::coroutine_handle<promise_type> handle) const noexcept {
        return handle.promise().continuation;
      }
      void await_resume() const noexcept {}
    };
    Async get_return_object() {
      return Async(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    Final final_suspend() const noexcept { return {}; }
    void return_value(T result) { value.emplace(std::move(result)); }
    [[noreturn]] void unhandled_exception() const { std::terminate(); }

    std::coroutine_handle<> continuation;
    std::optional<T> value;
  };

  explicit Async(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Async(Async&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Async& operator=(Async&&) = delete;
  ~Async() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    handle_.promise().continuation = awaiting;
    return handle_;
  }
  T await_resume() { return std::move(*handle_.promise().value); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

// A coroutine that nobody awaits: it runs from its call to its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const {}
    [[noreturn]] void unhandled_exception() const { std::terminate(); }
  };
};

// Awaits a callback. The first call counts; it resumes the coroutine on the spot.
template <typename T>
class Completion {
 public:
  std::function<void(T)> callback() const {
    return [state = state_](T value) {
      if (state->value) return;
      state->value.emplace(std::move(value));
      if (const auto waiter = std::exchange(state->waiter, nullptr)) waiter.resume();
    };
  }
  bool await_ready() const { return state_->value.has_value(); }
  void await_suspend(std::coroutine_handle<> waiter) { state_->waiter = waiter; }
  T await_resume() { return std::move(*state_->value); }

 private:
  struct State {
    std::optional<T> value;
    std::coroutine_handle<> waiter;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// One coroutine at a time, first come first served.
class AsyncMutex {
 public:
  class Guard {
   public:
    explicit Guard(AsyncMutex* mutex) : mutex_(mutex) {}
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (mutex_ != nullptr) mutex_->Release();
    }

   private:
    AsyncMutex* mutex_;
  };
  struct Acquisition {
    AsyncMutex* mutex;
    bool await_ready() const { return !std::exchange(mutex->locked_, true); }
    void await_suspend(std::coroutine_handle<> waiter) { mutex->queue_.push_back(waiter); }
    Guard await_resume() const { return Guard(mutex); }
  };

  explicit AsyncMutex(base::EventLoop* loop) : loop_(loop) {}
  Acquisition Acquire() { return {this}; }

 private:
  void Release() {
    if (queue_.empty()) {
      locked_ = false;
      return;
    }
    loop_->Post([next = queue_.front()] { next.resume(); });  // It owns the mutex already.
    queue_.pop_front();
  }

  base::EventLoop* const loop_;
  bool locked_ = false;
  std::deque<std::coroutine_handle<>> queue_;
};

// Wakes all that wait, each time it is notified:
//   while (!condition) {
//     co_await changed.Wait();
//   }
class AsyncSignal {
 public:
  struct Waiting {
    AsyncSignal* signal;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { signal->waiters_.push_back(waiter); }
    void await_resume() const {}
  };

  explicit AsyncSignal(base::EventLoop* loop) : loop_(loop) {}
  Waiting Wait() { return {this}; }
  void Notify() {
    for (const auto waiter : std::exchange(waiters_, {})) {
      loop_->Post([waiter] { waiter.resume(); });
    }
  }

 private:
  base::EventLoop* const loop_;
  std::deque<std::coroutine_handle<>> waiters_;
};

// co_await Sleep{loop, duration};
struct Sleep {
  base::EventLoop* loop;
  absl::Duration duration;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    loop->After(duration, [waiter] { waiter.resume(); });
  }
  void await_resume() const {}
};

}  // namespace ctrd::runtime::shim

// RETURN_IF_ERROR and ASSIGN_OR_RETURN for coroutines.
#define CO_RETURN_IF_ERROR(expression) \
  CO_RETURN_IF_ERROR_INNER(CTRD_CONCAT(ctrd_status_, __LINE__), expression)
#define CO_RETURN_IF_ERROR_INNER(status, expression) \
  const absl::Status status = (expression);          \
  if (!status.ok()) co_return status
#define CO_ASSIGN_OR_RETURN(target, expression) \
  CO_ASSIGN_OR_RETURN_INNER(CTRD_CONCAT(ctrd_result_, __LINE__), target, expression)
#define CO_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                 \
  if (!result.ok()) co_return std::move(result).status();     \
  target = *std::move(result)
