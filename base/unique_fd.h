// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace ctrd::base {

// UniqueFd owns one file descriptor and closes it exactly once. A descriptor lives in a UniqueFd
// from the line after the call that made it; a bare `int fd` parameter is borrowed for the call.
class [[nodiscard]] UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    Reset(other.Release());  // Also right for self-assignment.
    return *this;
  }
  ~UniqueFd() { Reset(); }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }  // The caller must close it.
  void Reset(int fd = -1);  // Closes what is held, then holds `fd`. Leaves errno as it was.

 private:
  int fd_ = -1;
};

}  // namespace ctrd::base
