// SPDX-License-Identifier: Apache-2.0
// The standard streams of a container's process on the client's side: FIFOs, and the threads that
// copy between them and our own streams. Source document: docs/formats/stdio.md.
#pragma once

#include <termios.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ctrd::ctr {

// A FIFO's path, a URI, or "".
struct StreamPaths {
  std::string input;
  std::string output;
  std::string error;
};

struct TaskIoOptions {
  bool terminal = false;
  bool null_io = false;
  std::string log_uri;
  std::string fifo_directory;  // "" for the usual one.
};

// Puts our terminal into raw mode for as long as it lives.
class RawTerminal {
 public:
  // kUnknown "provided file is not a console" without a terminal.
  static absl::StatusOr<RawTerminal> Enter();
  RawTerminal(RawTerminal&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), saved_(other.saved_) {}
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
  int fd_;
  termios saved_;
};

// Not thread-safe. The destructor ends the copying and, unless Keep was called, removes the FIFOs.
class TaskIo {
 public:
  // Makes FIFOs for the process `id`, if the options ask for some, and opens our ends.
  static absl::StatusOr<std::unique_ptr<TaskIo>> Create(const std::string& id,
                                                        const TaskIoOptions& options);
  // Opens our ends of FIFOs that a process uses already.
  static absl::StatusOr<std::unique_ptr<TaskIo>> Attach(const StreamPaths& paths, bool terminal);
  ~TaskIo();

  const StreamPaths& paths() const { return paths_; }
  bool terminal() const { return terminal_; }

  void StartOutput();
  // Copies our input to the process; `at_end` is called, on the copying thread, after its end.
  void StartInput(std::function<void()> at_end);
  // Waits until the process has closed its output.
  void Drain(absl::Duration timeout);
  // Leaves the FIFOs to whoever deletes the task.
  void Keep() { keep_ = true; }

 private:
  TaskIo() = default;
  absl::Status OpenEnds();
  void CopyOutput();
  void CopyInput(const std::function<void()>& at_end);

  StreamPaths paths_;
  bool terminal_ = false;
  bool keep_ = false;
  base::UniqueFd input_;
  base::UniqueFd output_;
  base::UniqueFd error_;
  base::UniqueFd stop_;         // An eventfd: readable once the threads shall end.
  base::UniqueFd output_done_;  // An eventfd: readable once there is nothing more to copy.
  std::thread output_thread_;
  std::thread input_thread_;
};

// Removes FIFOs, and their directory if it is one of those that clients make for each task.
void RemoveFifos(const StreamPaths& paths);

}  // namespace ctrd::ctr
