// SPDX-License-Identifier: Apache-2.0

// Child processes. A child is known by its pidfd; descriptors reach it only when named here.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ctrd::base {

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is looked up in $PATH unless it holds a slash.
  std::vector<std::string> environment;  // "KEY=value"; used as it is.
  std::string working_directory;         // "" for ours.
  // {descriptor here, number in the child}: the only ones the child gets. 0, 1 and 2 are /dev/null
  // where not named.
  std::vector<std::pair<int, int>> descriptors;
  bool new_process_group = false;
  bool new_session = false;
  std::optional<int> parent_death_signal;
};

// A started child. The destructor neither kills nor waits.
struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// kNotFound and others: exec failed, with the reference's text "fork/exec <path>: <reason>" or
// `exec: "<name>": executable file not found in $PATH`.
absl::StatusOr<Child> Spawn(const SpawnOptions& options);

// How a child ended: its exit code, or 128 + the number of the signal.
absl::StatusOr<int> WaitFor(const Child& child, absl::Time deadline);

struct RunResult {
  int exit_code = 0;
  std::string output;  // stdout and stderr together, cut at `limit`.
};
// Spawns, feeds `input`, gathers output, waits. At the deadline the child's process group is killed
// and the status is kDeadlineExceeded.
absl::StatusOr<RunResult> Run(SpawnOptions options, std::string_view input, absl::Time deadline,
                              size_t limit_bytes = 1 << 20);

// "KEY=value" of this process.
std::vector<std::string> CurrentEnvironment();
// The absolute path of an executable: `name` itself if it holds a slash, else from $PATH and then
// from `extra_directories`. kNotFound.
absl::StatusOr<std::string> FindExecutable(const std::string& name,
                                           const std::vector<std::string>& extra_directories = {});

}  // namespace ctrd::base
