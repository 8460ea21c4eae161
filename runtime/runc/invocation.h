// SPDX-License-Identifier: Apache-2.0

// One run of an OCI runtime's program, from start to end, without waiting for it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "runtime/runc/reaper.h"

namespace ctrd::runtime::runc {

struct Invocation {
  std::vector<std::string> arguments;  // With the program first.
  std::string input;                   // For standard input; "" for /dev/null.
  // {descriptor here, 0…2 in the child}. Without any, the outputs are captured.
  std::vector<std::pair<int, int>> stdio;
};

struct InvocationResult {
  int exit_code = 0;
  std::string output;  // What was captured of both outputs.
};

using InvocationDone = std::function<void(absl::StatusOr<InvocationResult>)>;

// A run that was begun. It does not keep it alive, nor end it.
class RunningInvocation {
 public:
  struct State;
  RunningInvocation() = default;
  explicit RunningInvocation(std::weak_ptr<State> state) : state_(std::move(state)) {}
  bool running() const;
  void Kill() const;
  std::string name() const;  // The arguments that matter to people.
  absl::Duration age() const;

 private:
  std::weak_ptr<State> state_;
};

// Starts it; calls `done` from the loop once it has ended and its captured output is complete, or
// with the error that kept it from starting. The program dies with us. One that takes long is told
// of in the log, again and again.
RunningInvocation Invoke(base::EventLoop* loop, Reaper* reaper, const Invocation& invocation,
                         InvocationDone done);

// Our environment without what a service manager meant for us alone.
std::vector<std::string> RuntimeEnvironment();

}  // namespace ctrd::runtime::runc
