// SPDX-License-Identifier: Apache-2.0

// A logging binary ("binary:///path?key=value"): a program that reads a process's output from its
// descriptors 3 and 4 and says on 5 that it is ready to.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/runc/reaper.h"
#include "runtime/shim/async.h"

namespace ctrd::runtime::shim {

class LoggingBinary {
 public:
  // Starts the program and waits, with a limit, until it is ready. `id` is the container's or the
  // exec's.
  static Async<absl::StatusOr<std::unique_ptr<LoggingBinary>>> Start(
      base::EventLoop* loop, runc::Reaper* reaper, std::string uri, std::string id,
      std::string namespace_name, std::string bundle);

  ~LoggingBinary();  // A program that has not ended is killed.

  // Ends of pipes that the program reads; whoever takes one writes to it.
  base::UniqueFd TakeStdout() { return std::move(stdout_); }
  base::UniqueFd TakeStderr() { return std::move(stderr_); }

  // Waits for the program to end, its input being over; ends it if it does not.
  static Async<bool> Finish(std::shared_ptr<LoggingBinary> self);

 private:
  struct Ended {
    explicit Ended(base::EventLoop* loop) : signal(loop) {}
    bool over = false;
    AsyncSignal signal;
  };
  explicit LoggingBinary(base::EventLoop* loop)
      : loop_(loop), ended_(std::make_shared<Ended>(loop)) {}
  Async<bool> AwaitEnd(absl::Duration limit);

  base::EventLoop* const loop_;
  base::UniqueFd stdout_, stderr_, pidfd_;
  std::shared_ptr<Ended> ended_;
};

struct LoggerUri {
  std::string path;
  std::vector<std::string> arguments;  // key, value, key, value, …: the first value of each key.
  bool strict = false;                 // "binary-v2": silence of a dying logger is an error.
};
//   kInvalidArgument  not a URI of a logging binary
absl::StatusOr<LoggerUri> ParseLoggerUri(std::string_view uri);

}  // namespace ctrd::runtime::shim
