// SPDX-License-Identifier: Apache-2.0

// One run of an OCI runtime's program, from start to end, without waiting for it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
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

// Starts it; calls `done` from the loop once it has ended and its captured output is complete, or
// with the error that kept it from starting. The program dies with us.
void Invoke(base::EventLoop* loop, Reaper* reaper, const Invocation& invocation,
            InvocationDone done);

// Our environment without what a service manager meant for us alone.
std::vector<std::string> RuntimeEnvironment();

}  // namespace ctrd::runtime::runc
