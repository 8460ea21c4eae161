// SPDX-License-Identifier: Apache-2.0

// One process of a container as the shim knows it: the first one, or an exec.
//
//   created --Start--> running --exit--> stopped --Delete--> deleted
//                       |   ^ Pause, Resume (the first process only)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "runtime/shim/async.h"
#include "runtime/shim/exit_record.h"
#include "runtime/shim/process_io.h"

namespace ctrd::runtime::shim {

// kRestorable: created from a checkpoint, nothing runs yet.
enum class State { kCreated, kRestorable, kRunning, kPausing, kPaused, kStopped, kDeleted };
enum class Action { kStart, kDelete, kPause, kResume, kExec, kUpdate, kCheckpoint };

// Whether a container's first process in `state` takes `action`; the error has the text that
// clients know.
absl::Status CheckAction(State state, Action action);

class Process {
 public:
  using WaitDone = std::function<void(absl::StatusOr<ExitRecord>)>;

  Process(base::EventLoop* loop, std::string id, StdioPaths paths);

  // Calls `done` when the process has ended, now if it has.
  void Wait(WaitDone done);
  // Enters kStopped and answers those who wait. The record has been written.
  void SetExited(const ExitRecord& record);
  // Its start failed: it stays as it was, and whoever waits gets the exit that there is not.
  void SetStartFailed();
  // Ends all waits with `status`: there will be no exit to tell of.
  void EndWaits(const absl::Status& status);

  const std::string exec_id;  // "" for the first process.
  const StdioPaths stdio;
  std::string document;  // JSON of an exec's process.
  State state = State::kCreated;
  uint32_t pid = 0;
  ExitRecord exit;  // Zero status and time while there was none.
  std::unique_ptr<ProcessIo> io;
  AsyncMutex mutex;  // One call at a time.

 private:
  bool start_failed_ = false;
  std::vector<WaitDone> waits_;
};

}  // namespace ctrd::runtime::shim
