// SPDX-License-Identifier: Apache-2.0

// The daemon's signals: SIGTERM and SIGINT end it, SIGUSR1 makes it tell what its threads do,
// SIGPIPE is ignored.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

namespace ctrd {

// Blocks the signals in this thread and all it starts. Call it first in main.
void BlockSignals();

// Serves the signals from a thread of its own, from its making to the end of the process: a start
// that hangs can be asked what it hangs in, and ended.
//
// Before Serving() a signal that ends the daemon does so on the spot, with exit status 0: nothing
// was promised to anybody yet, and what is on disk stands a SIGKILL. From then on WaitForEnd tells.
class SignalWatch {
 public:
  SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  void Serving();
  // Waits for a signal that asks the daemon to end; its number. Call it after Serving().
  int WaitForEnd();

 private:
  // Outlives the watch: its thread is never joined.
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool serving = false;
    int number = 0;
  };
  static void Serve(State& state);

  std::shared_ptr<State> state_;
};

}  // namespace ctrd
