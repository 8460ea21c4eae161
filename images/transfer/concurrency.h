// SPDX-License-Identifier: Apache-2.0

// What transfers share the machine with: a limit, locks by name, and a way to do things in
// parallel.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/context.h"

namespace ctrd::transfer {

// At most so many at once. Waiting ends with the context.
class Limiter {
 public:
  explicit Limiter(int limit) : free_(limit < 1 ? 1 : limit) {}

  class Slot {
   public:
    explicit Slot(Limiter* limiter) : limiter_(limiter) {}
    Slot(Slot&& other) noexcept : limiter_(std::exchange(other.limiter_, nullptr)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot();

   private:
    Limiter* limiter_;
  };
  absl::StatusOr<Slot> Acquire(const base::Context& context);

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  int free_;
};

// Mutual exclusion by name. Waiting ends with the context.
class KeyedLocks {
 public:
  class Held {
   public:
    Held(KeyedLocks* locks, std::string key) : locks_(locks), key_(std::move(key)) {}
    Held(Held&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), key_(std::move(other.key_)) {}
    Held& operator=(Held&&) = delete;
    ~Held();

   private:
    KeyedLocks* locks_;
    std::string key_;
  };
  absl::StatusOr<Held> Lock(const base::Context& context, const std::string& key);

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  std::set<std::string> held_;  // The keys that are locked.
};

// Calls work(0) … work(count - 1) on up to `width` threads, in that order of starting; returns the
// first failure. After one, nothing more is started.
absl::Status ForEachInParallel(size_t count, size_t width,
                               const std::function<absl::Status(size_t)>& work);

}  // namespace ctrd::transfer
