// SPDX-License-Identifier: Apache-2.0
#include "daemon/signals.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"

namespace ctrd {
namespace {

sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
  return set;
}

// Name, state and kernel stack of every thread: what a stuck daemon is stuck in.
std::string DescribeThreads() {
  std::string text;
  const auto ids = base::ListDirectory("/proc/self/task");
  if (!ids.ok()) return text;
  for (const std::string& id : *ids) {
    const std::string directory = "/proc/self/task/" + id;
    text += "thread " + id;
    for (const char* file : {"comm", "wchan", "syscall", "stack"}) {
      // What the kernel does not tell is left out.
      if (const auto content = base::ReadFile(directory + "/" + file, 1 << 16); content.ok()) {
        text += fmt::format("\n  {}: {}", file, *content);
      }
    }
    text += "\n";
  }
  return text;
}

void DumpThreads() {
  const std::string text = DescribeThreads();
  const char* temp = std::getenv("TMPDIR");
  const std::string path =
      fmt::format("{}/containerd.{}.stacks.log", temp == nullptr ? "/tmp" : temp, ::getpid());
  base::LogInfo("threads", {{"dump", text}});
  if (const absl::Status status = base::WriteFileAtomically(path, text, 0600); !status.ok()) {
    base::LogWarn("cannot write the dump of threads, ignoring", {{"error", status}});
  }
}

}  // namespace

void BlockSignals() {
  const sigset_t handled = HandledSignals();
  ::pthread_sigmask(SIG_BLOCK, &handled, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

SignalWatch::SignalWatch() : state_(std::make_shared<State>()) {
  std::thread([state = state_] { Serve(*state); }).detach();
}

void SignalWatch::Serve(State& state) {
  const sigset_t handled = HandledSignals();
  for (;;) {
    int number = 0;
    if (::sigwait(&handled, &number) != 0) continue;
    if (number == SIGUSR1) {
      DumpThreads();
      continue;
    }
    const std::lock_guard lock(state.mutex);
    if (!state.serving) {
      base::LogInfo("stopping before the start is done", {{"signal", number}});
      ::_exit(0);
    }
    state.number = number;
    state.changed.notify_all();
  }
}

void SignalWatch::Serving() {
  const std::lock_guard lock(state_->mutex);
  state_->serving = true;
}

int SignalWatch::WaitForEnd() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->number != 0; });
  return state_->number;
}

}  // namespace ctrd
