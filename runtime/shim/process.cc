// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/process.h"

#include "base/status.h"
#include "base/time.h"

namespace ctrd::runtime::shim {
namespace {

// What is said where an action is not for a state; nullptr where it is. Columns as in State.
constexpr const char* kRefusals[][7] = {
    // created, restorable, running, pausing, paused, stopped, deleted
    {nullptr, nullptr, "cannot start a running process", "cannot start a running process",
     "cannot start a paused process", "cannot start a stopped process",
     "cannot start a deleted process"},
    {nullptr, nullptr, "cannot delete a running process", "cannot delete a running process",
     "cannot delete a paused process", nullptr, "cannot delete a deleted process"},
    {"cannot pause task in created state", "cannot pause task in created state", nullptr,
     "cannot pause a paused container", "cannot pause a paused container",
     "cannot pause a stopped container", "cannot pause a deleted process"},
    {"cannot resume task in created state", "cannot resume task in created state",
     "cannot resume a running process", "cannot resume a running process", nullptr,
     "cannot resume a stopped container", "cannot resume a deleted process"},
    {nullptr, "cannot exec in a created state", nullptr, nullptr, "cannot exec in a paused state",
     "cannot exec in a stopped state", "cannot exec in a deleted state"},
    {nullptr, nullptr, nullptr, nullptr, nullptr, "cannot update a stopped container",
     "cannot update a deleted process"},
    {"cannot checkpoint a task in created state", "cannot checkpoint a task in created state",
     nullptr, nullptr, nullptr, "cannot checkpoint a stopped container",
     "cannot checkpoint a deleted process"},
};

}  // namespace

absl::Status CheckAction(State state, Action action) {
  const char* refusal = kRefusals[static_cast<int>(action)][static_cast<int>(state)];
  if (refusal == nullptr) return absl::OkStatus();
  if (action == Action::kDelete && state == State::kDeleted) return base::NotFound("{}", refusal);
  return absl::UnknownError(refusal);
}

Process::Process(base::EventLoop* loop, std::string id, StdioPaths paths)
    : exec_id(std::move(id)), stdio(std::move(paths)), mutex(loop) {
  exit.at = base::ZeroTime();
}

void Process::Wait(WaitDone done) {
  if (state == State::kStopped || state == State::kDeleted ||
      (state == State::kCreated && start_failed_)) {
    return done(exit);
  }
  waits_.push_back(std::move(done));
}

void Process::SetExited(const ExitRecord& record) {
  exit = record;
  if (state != State::kDeleted) state = State::kStopped;
  for (const WaitDone& done : std::exchange(waits_, {})) done(exit);
}

void Process::SetStartFailed() {
  start_failed_ = true;
  for (const WaitDone& done : std::exchange(waits_, {})) done(exit);
}

void Process::EndWaits(const absl::Status& status) {
  for (const WaitDone& done : std::exchange(waits_, {})) done(status);
}

}  // namespace ctrd::runtime::shim
