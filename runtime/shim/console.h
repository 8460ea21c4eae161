// SPDX-License-Identifier: Apache-2.0

// How a runtime hands us the terminal it made for a process: it connects to a socket that we listen
// on and sends the master side over it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/shim/async.h"

namespace ctrd::runtime::shim {

class ConsoleSocket {
 public:
  static absl::StatusOr<std::unique_ptr<ConsoleSocket>> Create(base::EventLoop* loop,
                                                               const std::string& bundle);
  ~ConsoleSocket();  // Removes the socket and its directory.

  const std::string& path() const { return path_; }
  // The terminal's master side, as the first who connects sends it. At most once.
  Async<absl::StatusOr<base::UniqueFd>> Receive(absl::Time deadline);

 private:
  ConsoleSocket(base::EventLoop* loop, std::string directory)
      : loop_(loop), directory_(std::move(directory)), path_(directory_ + "/pty.sock") {}
  Async<absl::Status> AwaitReadable(int fd, absl::Time deadline);

  base::EventLoop* const loop_;
  const std::string directory_, path_;
  base::UniqueFd listener_;
};

}  // namespace ctrd::runtime::shim
