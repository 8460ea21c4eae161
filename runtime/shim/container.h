// SPDX-License-Identifier: Apache-2.0

// A container of this shim: its first process, its execs, and every operation on them. Operations
// are coroutines; those on one process run one after another. Each keeps the container alive until
// it is through.
//
// Events go out in the order clients rely on: create, start, exit, delete of the container; added,
// started, exit of an exec; and the exit of the first process after those of all execs. An exit is
// written to the bundle before anybody hears of it.
// Source document: docs/api/tasks.md.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/any.h"
#include "base/mount.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/cgroups/oom_watch.h"
#include "runtime/runc/reaper.h"
#include "runtime/runc/runc.h"
#include "runtime/shim/async.h"
#include "runtime/shim/bundle_spec.h"
#include "runtime/shim/process.h"
#include "runtime/shim/publisher.h"
#include "runtime/shim/rest.h"
#include "runtime/shim/runc_options.h"

namespace google::protobuf {
class MessageLite;
}

namespace ctrd::runtime::shim {

// What all containers of a shim share.
struct Shim {
  base::EventLoop* loop;
  runc::Reaper* reaper;
  Publisher* publisher;
  Rest* rest;
  std::string namespace_name;
};

struct ContainerRequest {
  std::string id, bundle;
  base::Mounts rootfs;
  StdioPaths stdio;
  std::string checkpoint, parent_checkpoint;
  base::Any options;
};

class Container {
 public:
  using Ptr = std::shared_ptr<Container>;

  // A container that runs nothing yet and is known to nobody.
  Container(Shim shim, ContainerRequest request, RuncOptions options);

  // Mounts its root and has the runtime make it. What a failure leaves is undone.
  static Async<absl::Status> Create(Ptr self);
  // Makes a Create that is under way fail soon, with kCancelled.
  void AbandonCreate();
  static Async<absl::StatusOr<uint32_t>> Start(Ptr self, std::string exec_id);
  // The first process and with it the container, or an exec.
  static Async<absl::StatusOr<ExitRecord>> Delete(Ptr self, std::string exec_id);
  static Async<absl::Status> Kill(Ptr self, std::string exec_id, uint32_t signal, bool all);
  static Async<absl::Status> Pause(Ptr self);
  static Async<absl::Status> Resume(Ptr self);
  static Async<absl::Status> Update(Ptr self, std::string resources_json);
  static Async<absl::Status> Checkpoint(Ptr self, std::string path, base::Any options);
  // Pids of all its processes, with the exec id where one is the main process of an exec.
  static Async<absl::StatusOr<std::vector<std::pair<pid_t, std::string>>>> Pids(Ptr self);

  // Registers an exec; nothing runs.
  absl::Status AddExec(const std::string& exec_id, const std::string& process_json,
                       StdioPaths paths);
  absl::Status Resize(const std::string& exec_id, uint32_t width, uint32_t height);
  absl::Status CloseStdin(const std::string& exec_id);
  absl::StatusOr<base::Any> Statistics() const;

  // The first process for "", else the exec.
  //   kNotFound  "process does not exist <id>: not found"
  absl::StatusOr<std::shared_ptr<Process>> Find(const std::string& exec_id) const;
  // As clients see it: execs of a paused container are paused.
  State StateOf(const Process& process) const;

  const std::string& id() const { return request_.id; }
  const std::string& bundle() const { return request_.bundle; }
  // For people: the states of its processes and the runtime's call that is under way.
  std::string Description() const;
  bool deleted() const { return init_->state == State::kDeleted; }

 private:
  static Async<absl::Status> CreateMounted(Ptr self);
  static Async<absl::Status> FinishCreate(Ptr self);
  static Async<bool> UndoRuntime(Ptr self);
  int KillOrphans(const cgroups::Cgroup& cgroup) const;
  absl::Status Unwanted() const;
  runc::CreateOptions CreateOptions() const;
  static Async<absl::StatusOr<uint32_t>> StartInit(Ptr self);
  static Async<absl::Status> Restore(Ptr self);
  static Async<absl::StatusOr<uint32_t>> StartExec(Ptr self, std::shared_ptr<Process> process);
  static Async<absl::Status> RunExec(Ptr self, std::shared_ptr<Process> process);
  static Async<absl::StatusOr<ExitRecord>> DeleteInit(Ptr self);
  static Async<absl::StatusOr<ExitRecord>> DeleteExec(Ptr self, std::shared_ptr<Process> process);
  static void EndStuckCall(const Ptr& self);
  static Async<absl::Status> KillInit(Ptr self, uint32_t signal, bool all);
  static Detached InitExited(Ptr self, runc::Exit exit);
  static Async<bool> EndExecs(Ptr self);
  void ExecExited(const std::shared_ptr<Process>& process, runc::Exit exit);
  void Record(Process& process, const runc::Exit& exit);
  void WatchInit(const Ptr& self);
  void WatchCgroup(const Ptr& self);
  void PublishExit(const Process& process);
  void PublishCreate();
  void Publish(const char* topic, const google::protobuf::MessageLite& event);

  IoOptions IoOptionsFor(const Process& process) const;
  std::string RootfsPath() const { return request_.bundle + "/rootfs"; }
  std::string PidFile(const std::string& exec_id) const;
  absl::StatusOr<uint32_t> ReadPidFile(const std::string& exec_id) const;
  void EndFailedExec(const std::string& exec_id) const;

  const Shim shim_;
  const ContainerRequest request_;
  const RuncOptions options_;
  runc::Runc runc_;
  const BundleFacts facts_;
  bool abandoned_ = false;  // Nobody waits for Create any more.
  std::shared_ptr<Process> init_;
  std::map<std::string, std::shared_ptr<Process>, std::less<>> execs_;
  bool init_exiting_ = false;  // No exec may start any more.
  int active_execs_ = 0;       // Starting or running.
  AsyncSignal execs_changed_;
  std::optional<cgroups::Cgroup> cgroup_;
  std::unique_ptr<cgroups::OomWatch> oom_watch_;
};

}  // namespace ctrd::runtime::shim
