// SPDX-License-Identifier: Apache-2.0

// TaskRuntime: starts tasks and controls them. One implementation talks to shims
// (runtime/supervisor), another to nobody (a fake for tests of the services above).
//
//   Create --> created --Start--> running --exit--> stopped --Delete--> gone
//                                   |  ^ Pause, Resume
//
// A task is the running side of a container; its id is the container's. `exec_id` "" means the
// task's first process. The runtime knows no container records: what it needs of one comes with
// Create. Namespaces come with the context and are validated by the caller.
//
// Thread-safe. Errors carry the texts of the shim unchanged, codes as docs/api/tasks.md has them.
// Source document: docs/api/tasks.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/any.h"
#include "base/context.h"
#include "base/mount.h"

namespace ctrd::runtime {

enum class TaskState { kUnknown, kCreated, kRunning, kStopped, kPaused, kPausing };

struct Stdio {
  std::string stdin_path, stdout_path, stderr_path;
  bool terminal = false;
};

struct CreateTask {
  std::string id;
  std::string runtime;  // Name or absolute path: "io.containerd.runc.v2".
  base::Any spec;       // Written to the bundle verbatim.
  base::Any options;    // Of the request, else of the container record.
  base::Mounts rootfs;  // Passed to the shim verbatim.
  Stdio stdio;
  std::string checkpoint_path;  // "" for none.
  std::string sandbox;          // Sandbox id of the container record, or "".
  std::string task_api_address;
  uint32_t task_api_version = 0;
};

struct Exit {
  uint32_t pid = 0;
  uint32_t status = 0;
  absl::Time at;  // base::ZeroTime() while there was no exit.
};

struct ProcessState {
  std::string id;  // Task id, or exec id.
  uint32_t pid = 0;
  TaskState state = TaskState::kUnknown;
  Stdio stdio;
  Exit exit;
};

struct ExecProcess {
  std::string exec_id;
  Stdio stdio;
  base::Any spec;
};

struct ProcessInfo {
  uint32_t pid = 0;
  base::Any info;
};

struct TaskStatistics {
  std::string id;
  absl::Time timestamp;
  base::Any data;
};

class TaskRuntime {
 public:
  virtual ~TaskRuntime() = default;

  virtual absl::StatusOr<uint32_t> Create(const base::Context& context, const CreateTask& task) = 0;
  virtual absl::StatusOr<uint32_t> Start(const base::Context& context, std::string_view id,
                                         std::string_view exec_id) = 0;
  virtual absl::StatusOr<Exit> Delete(const base::Context& context, std::string_view id) = 0;
  virtual absl::StatusOr<Exit> DeleteProcess(const base::Context& context, std::string_view id,
                                             std::string_view exec_id) = 0;
  virtual absl::StatusOr<ProcessState> State(const base::Context& context, std::string_view id,
                                             std::string_view exec_id) = 0;
  // The states of all tasks of the namespace; those that do not answer in time are left out.
  virtual absl::StatusOr<std::vector<ProcessState>> List(const base::Context& context) = 0;
  virtual absl::Status Kill(const base::Context& context, std::string_view id,
                            std::string_view exec_id, uint32_t signal, bool all) = 0;
  virtual absl::Status Exec(const base::Context& context, std::string_view id,
                            const ExecProcess& process) = 0;
  virtual absl::Status ResizePty(const base::Context& context, std::string_view id,
                                 std::string_view exec_id, uint32_t width, uint32_t height) = 0;
  virtual absl::Status CloseIo(const base::Context& context, std::string_view id,
                               std::string_view exec_id, bool close_stdin) = 0;
  virtual absl::Status Pause(const base::Context& context, std::string_view id) = 0;
  virtual absl::Status Resume(const base::Context& context, std::string_view id) = 0;
  virtual absl::StatusOr<std::vector<ProcessInfo>> Pids(const base::Context& context,
                                                        std::string_view id) = 0;
  virtual absl::Status Update(const base::Context& context, std::string_view id,
                              const base::Any& resources,
                              const std::map<std::string, std::string>& annotations) = 0;
  virtual absl::Status Checkpoint(const base::Context& context, std::string_view id,
                                  const std::string& path, const base::Any& options) = 0;
  // Where the root file system of a task is mounted.
  virtual absl::StatusOr<std::string> RootfsPath(const base::Context& context,
                                                 std::string_view id) = 0;
  // Of the tasks of the namespace that `wanted` accepts; those that do not answer are left out.
  virtual absl::StatusOr<std::vector<TaskStatistics>> Statistics(
      const base::Context& context, const std::function<bool(std::string_view id)>& wanted) = 0;

  // Calls `done` once, from any thread, when the process has ended (at once if it has), or with an
  // error. Costs no thread while it waits. Dropping the returned handle ends the wait: `done` is
  // not called after that, and a call that is under way has returned.
  class PendingWait {
   public:
    virtual ~PendingWait() = default;
  };
  using WaitDone = std::function<void(absl::StatusOr<Exit>)>;
  virtual std::unique_ptr<PendingWait> Wait(const base::Context& context, std::string_view id,
                                            std::string_view exec_id, WaitDone done) = 0;

  // What the runtime's shim says of itself (`-info`): an encoded containerd.types.RuntimeInfo.
  virtual absl::StatusOr<base::Any> RuntimeInfo(const base::Context& context,
                                                const std::string& runtime,
                                                const base::Any& options) = 0;
};

}  // namespace ctrd::runtime
