// SPDX-License-Identifier: Apache-2.0

// Runc drives an OCI runtime (runc, crun, youki, …) by its command line: exactly the calls that
// containerd's shim makes, and errors with exactly its texts. Calls return at once and report to a
// callback from the event loop. Source document: docs/api/runc.md.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "runtime/runc/invocation.h"
#include "runtime/runc/reaper.h"

namespace ctrd::runtime::runc {

// What stands before the verb in every call.
struct Program {
  std::string binary = "runc";
  std::string root = "/run/containerd/runc";  // The namespace is appended by GlobalArguments.
  std::string namespace_name;
  std::string log_path;
  bool systemd_cgroup = false;

  std::string StateDirectory() const { return root + "/" + namespace_name; }
};

struct CreateOptions {
  std::string bundle, pid_file;
  std::string console_socket;  // "" for none.
  bool no_pivot = false;
  bool no_new_keyring = false;
};

struct RestoreOptions {
  CreateOptions create;
  std::string image_path, work_path, parent_path;
};

struct ExecOptions {
  std::string process_file, pid_file;
  std::string console_socket;  // "" for none.
};

struct CheckpointOptions {
  std::string image_path, work_path;
  bool open_tcp = false, external_unix_sockets = false, terminal = false, file_locks = false;
  bool exit = false;
  std::vector<std::string> empty_namespaces;
};

std::vector<std::string> GlobalArguments(const Program& program);
std::vector<std::string> DeleteArguments(const Program& program, std::string_view id, bool force);

class Runc {
 public:
  using Done = std::function<void(absl::Status)>;
  // {descriptor here, 0…2 in the container}; empty with a terminal.
  using Stdio = std::vector<std::pair<int, int>>;

  Runc(base::EventLoop* loop, Reaper* reaper, Program program)
      : loop_(loop), reaper_(reaper), program_(std::move(program)) {}

  void Create(std::string_view id, const CreateOptions& options, const Stdio& stdio, Done done);
  void Restore(std::string_view id, const RestoreOptions& options, const Stdio& stdio, Done done);
  void Start(std::string_view id, Done done);
  void Exec(std::string_view id, const ExecOptions& options, const Stdio& stdio, Done done);
  //   kNotFound  "process already finished: not found", "no such container: not found"
  void Kill(std::string_view id, uint32_t signal, bool all, Done done);
  // SIGKILL to all that is in the container, its first process being gone.
  void KillAll(std::string_view id, Done done);
  // A container that does not exist is deleted.
  void Delete(std::string_view id, Done done);
  // The same whatever its state: what runs in it is killed.
  void DeleteByForce(std::string_view id, Done done);
  // Whether the runtime has noted anything of that container.
  bool HasStateOf(std::string_view id) const;
  // Kills the program of the latest call if it still runs; the call fails then.
  void Abort();
  const RunningInvocation& latest() const { return latest_; }
  // The verb of the latest call and for how long it runs, "" if it does not.
  std::string Running() const;
  void Pause(std::string_view id, Done done);
  void Resume(std::string_view id, Done done);
  void Update(std::string_view id, const std::string& resources_json, Done done);
  // The error is the first line of what the runtime said.
  void Checkpoint(std::string_view id, const CheckpointOptions& options, Done done);
  void Ps(std::string_view id, std::function<void(absl::StatusOr<std::vector<pid_t>>)> done);

  const Program& program() const { return program_; }

 private:
  // Runs a verb whose error is told by the log, as `prefix`.
  void RunLogged(std::string prefix, std::vector<std::string> arguments, const Stdio& stdio,
                 Done done);
  void RunPlain(std::vector<std::string> arguments, std::string input, Done done);
  std::vector<std::string> Arguments(std::vector<std::string> verb) const;

  base::EventLoop* const loop_;
  Reaper* const reaper_;
  const Program program_;
  RunningInvocation latest_;
};

}  // namespace ctrd::runtime::runc
