// SPDX-License-Identifier: Apache-2.0

// The standard streams of one process: what the runtime is given as 0, 1 and 2, and what carries
// the bytes between that and the places the client named. Source document: docs/api/tasks.md.
//
//   Open --> [runtime call with child_stdio()] --> Started --> … --> Drain --> destroyed
//
// With a terminal the runtime sends its master side over console_socket() instead.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/runc/reaper.h"
#include "runtime/runc/runc.h"
#include "runtime/shim/async.h"
#include "runtime/shim/console.h"
#include "runtime/shim/fifo.h"
#include "runtime/shim/logger.h"
#include "runtime/shim/relay.h"

namespace ctrd::runtime::shim {

struct StdioPaths {
  std::string stdin_path, stdout_path, stderr_path;
  bool terminal = false;
};

struct IoOptions {
  StdioPaths paths;
  std::string id;  // Of the container or the exec, for logging binaries.
  std::string namespace_name, bundle;
  uint32_t uid = 0, gid = 0;        // Owner of the pipes.
  const bool* abandoned = nullptr;  // Comes true when nobody wants the process any more.
};

// The error of an Open as callers are told it: of no class, whatever it was.
absl::Status IoError(const absl::Status& status, std::string_view context);

class ProcessIo {
 public:
  // Opens what the client named and makes the process's ends.
  static Async<absl::StatusOr<std::unique_ptr<ProcessIo>>> Open(base::EventLoop* loop,
                                                                runc::Reaper* reaper,
                                                                IoOptions options);

  // What the runtime gets as its 0, 1 and 2; empty with a terminal.
  runc::Runc::Stdio child_stdio() const;
  // Path of the console socket, "" without a terminal.
  std::string console_socket() const { return console_ ? console_->path() : std::string(); }

  // After the runtime has made the process: closes its ends here, takes the terminal, and lets the
  // bytes flow.
  Async<absl::Status> Started();

  // Lets go of our writing end of the client's stdin: the process reads the end of file once the
  // client has let go of its own.
  void CloseStdin() { stdin_keep_alive_.Reset(); }
  absl::Status Resize(uint32_t width, uint32_t height);

  // Waits until all output has been passed on, until `deadline`.
  Async<bool> Drain(absl::Time deadline);

 private:
  enum { kIn = 0, kOut = 1, kErr = 2 };
  explicit ProcessIo(base::EventLoop* loop) : loop_(loop), drained_(loop) {}
  Async<absl::Status> OpenPaths(runc::Reaper* reaper, IoOptions options);
  Async<absl::Status> OpenStreams(IoOptions options);
  Async<absl::Status> OpenOutputs(IoOptions options);
  absl::Status OpenStdin(const IoOptions& options);
  absl::Status OpenNullWhereMissing();
  absl::Status MakePipe(int number, const IoOptions& options);
  void StartOutput(base::UniqueFd source, base::UniqueFd sink);
  bool drained() const;

  base::EventLoop* const loop_;
  base::UniqueFd child_[3];   // The process's ends; gone after Started.
  base::UniqueFd ours_[3];    // Our ends of its pipes, until a relay has them.
  base::UniqueFd client_[3];  // What the client named, until a relay has it.
  base::UniqueFd keep_alive_[3];
  base::UniqueFd stdin_keep_alive_;
  base::UniqueFd terminal_;
  std::unique_ptr<ConsoleSocket> console_;
  std::shared_ptr<LoggingBinary> logger_;
  std::unique_ptr<Relay> input_;
  std::vector<std::unique_ptr<Relay>> outputs_;
  AsyncSignal drained_;
};

}  // namespace ctrd::runtime::shim
