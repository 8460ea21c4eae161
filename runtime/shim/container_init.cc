// SPDX-License-Identifier: Apache-2.0

// Operations on a container's first process, and on the container as a whole.
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/time.h"
#include "base/wire.h"
#include "events/task.pb.h"
#include "runtime/shim/container.h"
#include "runtime/shim/proto_time.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kDrain = absl::Seconds(10);

runc::CreateOptions CreateOptionsOf(const RuncOptions& options, const std::string& bundle,
                                    std::string pid_file, std::string console_socket) {
  return {.bundle = bundle,
          .pid_file = std::move(pid_file),
          .console_socket = std::move(console_socket),
          .no_pivot = options.no_pivot_root,
          .no_new_keyring = options.no_new_keyring};
}

absl::StatusOr<runc::CheckpointOptions> DecodeCheckpointOptions(const base::Any& any,
                                                                const std::string& path) {
  runc::CheckpointOptions options{.image_path = path};
  if (!any.empty() && !any.type_url.ends_with("containerd.runc.v1.CheckpointOptions")) {
    return base::InvalidArgument("checkpoint options of type {:?} are not for this runtime",
                                 any.type_url);
  }
  base::WireReader reader(any.value);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        options.exit = field->varint != 0;
        break;
      case 2:
        options.open_tcp = field->varint != 0;
        break;
      case 3:
        options.external_unix_sockets = field->varint != 0;
        break;
      case 4:
        options.terminal = field->varint != 0;
        break;
      case 5:
        options.file_locks = field->varint != 0;
        break;
      case 6:
        options.empty_namespaces.emplace_back(field->bytes);
        break;
      case 9:
        options.work_path = field->bytes;
        break;
    }
  }
  if (!reader.ok()) return base::InvalidArgument("checkpoint options are not readable");
  return options;
}

}  // namespace

Async<absl::Status> Container::Create(Ptr self) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(SaveRuncOptions(self->bundle(), self->options_));
  if (!self->request_.rootfs.empty()) {
    const absl::Status mounted = base::MountAll(self->request_.rootfs, self->RootfsPath());
    if (!mounted.ok()) {
      co_return base::Annotate(absl::UnknownError(mounted.message()),
                               "failed to mount rootfs component");
    }
  }
  absl::Status status = co_await CreateMounted(self);
  if (!status.ok() && !self->request_.rootfs.empty()) {
    const absl::Status unmounted = base::UnmountAll(self->RootfsPath());
    if (!unmounted.ok()) base::LogWarn("rootfs left mounted", {{"error", unmounted}});
  }
  co_return status;
}

Async<absl::Status> Container::CreateMounted(Ptr self) {
  if (self->init_->state == State::kRestorable) {
    self->PublishCreate();
    co_return absl::OkStatus();
  }
  const IoOptions io_options = self->IoOptionsFor(*self->init_);
  auto io = co_await ProcessIo::Open(self->shim_.loop, self->shim_.reaper, io_options);
  if (!io.ok()) co_return base::Annotate(io.status(), "failed to create init process I/O");
  self->init_->io = *std::move(io);

  runc::Reaper::Attention attention = self->shim_.reaper->PayAttention();
  const runc::CreateOptions options = CreateOptionsOf(
      self->options_, self->bundle(), self->PidFile(""), self->init_->io->console_socket());
  Completion<absl::Status> created;
  self->runc_.Create(self->id(), options, self->init_->io->child_stdio(), created.callback());
  absl::Status status = co_await created;
  if (status.ok()) {
    status = co_await FinishCreate(self, attention);
    if (!status.ok()) {
      Completion<absl::Status> undone;
      self->runc_.Delete(self->id(), undone.callback());
      (void)co_await undone;  // The daemon's clean-up deletes by force.
    }
  }
  if (!status.ok()) self->init_->io.reset();
  co_return status;
}

// `attention` lasts until the first process is watched.
Async<absl::Status> Container::FinishCreate(Ptr self,
                                            [[maybe_unused]] runc::Reaper::Attention attention) {
  CO_ASSIGN_OR_RETURN(self->init_->pid, self->ReadPidFile(""));
  self->WatchCgroup(self);
  CO_RETURN_IF_ERROR(co_await self->init_->io->Started());
  self->PublishCreate();
  self->WatchInit(self);
  co_return absl::OkStatus();
}

void Container::PublishCreate() {
  containerd::events::TaskCreate event;
  event.set_container_id(request_.id);
  event.set_bundle(request_.bundle);
  for (const base::Mount& mount : request_.rootfs) {
    auto* entry = event.add_rootfs();
    entry->set_type(mount.type);
    entry->set_source(mount.source);
    entry->set_target(mount.target);
    for (const std::string& option : mount.options) entry->add_options(option);
  }
  event.mutable_io()->set_stdin(request_.stdio.stdin_path);
  event.mutable_io()->set_stdout(request_.stdio.stdout_path);
  event.mutable_io()->set_stderr(request_.stdio.stderr_path);
  event.mutable_io()->set_terminal(request_.stdio.terminal);
  event.set_checkpoint(request_.checkpoint);
  event.set_pid(init_->pid);
  Publish("/tasks/create", event);
}

Async<absl::StatusOr<uint32_t>> Container::Start(Ptr self, std::string exec_id) {
  if (exec_id.empty()) {
    co_return co_await StartInit(self);
  }
  CO_ASSIGN_OR_RETURN(std::shared_ptr<Process> process, self->Find(exec_id));
  co_return co_await StartExec(self, process);
}

Async<absl::StatusOr<uint32_t>> Container::StartInit(Ptr self) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(self->init_->state, Action::kStart));
  if (self->init_->state == State::kRestorable) {
    CO_RETURN_IF_ERROR(co_await Restore(self));
  } else {
    Completion<absl::Status> started;
    self->runc_.Start(self->id(), started.callback());
    CO_RETURN_IF_ERROR(co_await started);
  }
  self->init_->state = State::kRunning;
  containerd::events::TaskStart event;
  event.set_container_id(self->id());
  event.set_pid(self->init_->pid);
  self->Publish("/tasks/start", event);
  co_return self->init_->pid;
}

Async<absl::Status> Container::Restore(Ptr self) {
  const IoOptions io_options = self->IoOptionsFor(*self->init_);
  auto io = co_await ProcessIo::Open(self->shim_.loop, self->shim_.reaper, io_options);
  if (!io.ok()) co_return base::Annotate(io.status(), "failed to create init process I/O");
  self->init_->io = *std::move(io);
  const runc::Reaper::Attention attention = self->shim_.reaper->PayAttention();
  runc::RestoreOptions options;
  options.create = CreateOptionsOf(self->options_, self->bundle(), self->PidFile(""),
                                   self->init_->io->console_socket());
  options.image_path = self->request_.checkpoint;
  options.work_path = self->options_.criu_work_path.empty() ? self->bundle() + "/work"
                                                            : self->options_.criu_work_path;
  options.parent_path = self->request_.parent_checkpoint;
  Completion<absl::Status> restored;
  self->runc_.Restore(self->id(), options, self->init_->io->child_stdio(), restored.callback());
  absl::Status status = co_await restored;
  if (status.ok()) {
    absl::StatusOr<uint32_t> pid = self->ReadPidFile("");
    status = pid.status();
    if (pid.ok()) {
      self->init_->pid = *pid;
      self->WatchCgroup(self);
      status = co_await self->init_->io->Started();
      self->WatchInit(self);
    }
  }
  if (!status.ok()) self->init_->io.reset();
  co_return status;
}

Async<absl::StatusOr<ExitRecord>> Container::Delete(Ptr self, std::string exec_id) {
  if (exec_id.empty()) {
    co_return co_await DeleteInit(self);
  }
  CO_ASSIGN_OR_RETURN(std::shared_ptr<Process> process, self->Find(exec_id));
  co_return co_await DeleteExec(self, process);
}

Async<absl::StatusOr<ExitRecord>> Container::DeleteInit(Ptr self) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(self->init_->state, Action::kDelete));
  const bool ran = self->init_->state == State::kStopped;
  if (ran && self->init_->io != nullptr) {
    (void)co_await self->init_->io->Drain(absl::Now() + kDrain);
  }
  // Repeatable up to its end: a container that is gone, or not mounted, is fine.
  Completion<absl::Status> deleted;
  self->runc_.Delete(self->id(), deleted.callback());
  CO_RETURN_IF_ERROR(co_await deleted);
  if (const absl::Status unmounted = base::UnmountAll(self->RootfsPath()); !unmounted.ok()) {
    co_return base::Annotate(absl::UnknownError(unmounted.message()), "failed rootfs umount");
  }
  self->init_->io.reset();
  self->init_->state = State::kDeleted;
  ExitRecord result = self->init_->exit;
  result.pid = self->init_->pid;
  containerd::events::TaskDelete event;
  event.set_container_id(self->id());
  event.set_pid(result.pid);
  event.set_exit_status(result.status);
  SetTime(result.at, event.mutable_exited_at());
  self->Publish("/tasks/delete", event);
  self->init_->EndWaits(ttrpc::ClosedError());
  RemoveExitRecord(self->bundle(), "");
  co_return result;
}

Async<absl::Status> Container::Kill(Ptr self, std::string exec_id, uint32_t signal, bool all) {
  if (exec_id.empty()) {
    co_return co_await KillInit(self, signal, all);
  }
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Process> process, self->Find(exec_id));
  const AsyncMutex::Guard guard = co_await process->mutex.Acquire();
  if (process->state == State::kDeleted) {
    co_return base::NotFound("cannot kill a deleted process");
  }
  if (process->state == State::kStopped) co_return base::NotFound("process already finished");
  if (process->pid == 0) co_return base::FailedPrecondition("process not created");
  if (::kill(static_cast<pid_t>(process->pid), static_cast<int>(signal)) == 0) {
    co_return absl::OkStatus();
  }
  const absl::Status error = errno == ESRCH
                                 ? base::NotFound("process already finished")
                                 : base::Unknown("unknown error after kill: {}",
                                                 base::MessageOf(base::ErrnoStatus("kill", "")));
  co_return base::Annotate(error, "exec kill error");
}

Async<absl::Status> Container::KillInit(Ptr self, uint32_t signal, bool all) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  if (self->deleted()) co_return base::NotFound("cannot kill a deleted process");
  if (self->init_->state == State::kStopped && !all) {
    co_return base::NotFound("process already finished");
  }
  Completion<absl::Status> killed;
  self->runc_.Kill(self->id(), signal, all, killed.callback());
  co_return co_await killed;
}

Async<absl::Status> Container::Pause(Ptr self) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(self->init_->state, Action::kPause));
  self->init_->state = State::kPausing;
  Completion<absl::Status> paused;
  self->runc_.Pause(self->id(), paused.callback());
  const absl::Status status = co_await paused;
  self->init_->state = status.ok() ? State::kPaused : State::kRunning;
  CO_RETURN_IF_ERROR(status);
  containerd::events::TaskPaused event;
  event.set_container_id(self->id());
  self->Publish("/tasks/paused", event);
  co_return absl::OkStatus();
}

Async<absl::Status> Container::Resume(Ptr self) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(self->init_->state, Action::kResume));
  Completion<absl::Status> resumed;
  self->runc_.Resume(self->id(), resumed.callback());
  CO_RETURN_IF_ERROR(co_await resumed);
  self->init_->state = State::kRunning;
  containerd::events::TaskResumed event;
  event.set_container_id(self->id());
  self->Publish("/tasks/resumed", event);
  co_return absl::OkStatus();
}

Async<absl::Status> Container::Update(Ptr self, std::string resources_json) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(self->init_->state, Action::kUpdate));
  Completion<absl::Status> updated;
  self->runc_.Update(self->id(), resources_json, updated.callback());
  co_return co_await updated;
}

Async<absl::Status> Container::Checkpoint(Ptr self, std::string path, base::Any options) {
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(self->init_->state, Action::kCheckpoint));
  CO_ASSIGN_OR_RETURN(runc::CheckpointOptions runtime_options,
                      DecodeCheckpointOptions(options, path));
  const bool own_work_path = runtime_options.work_path.empty();
  if (own_work_path) {
    runtime_options.work_path = self->bundle() + "/work/criu-work";
    CO_RETURN_IF_ERROR(base::MakeDirectories(runtime_options.work_path, 0700));
  }
  Completion<absl::Status> dumped;
  self->runc_.Checkpoint(self->id(), runtime_options, dumped.callback());
  absl::Status status = co_await dumped;
  if (!status.ok()) {
    const std::string log = self->bundle() + "/criu-dump.log";
    const auto text = base::ReadFile(runtime_options.work_path + "/dump.log");
    if (text.ok()) (void)base::WriteFileAtomically(log, *text, 0600);  // Only for people.
    const std::string message = base::MessageOf(status);
    status = base::Unknown("{} path= {}", message.substr(0, message.find('\n')), log);
  }
  if (own_work_path)
    (void)base::RemoveTree(runtime_options.work_path);  // Below the work directory.
  co_return status;
}

Async<absl::StatusOr<std::vector<std::pair<pid_t, std::string>>>> Container::Pids(Ptr self) {
  std::vector<std::pair<pid_t, std::string>> result;
  if (self->init_->state == State::kStopped || self->init_->pid == 0) co_return result;
  Completion<absl::StatusOr<std::vector<pid_t>>> listed;
  self->runc_.Ps(self->id(), listed.callback());
  CO_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, co_await listed);
  for (const pid_t pid : pids) {
    const auto exec =
        std::find_if(self->execs_.begin(), self->execs_.end(), [&](const auto& entry) {
          return entry.second->state == State::kRunning &&
                 entry.second->pid == static_cast<uint32_t>(pid);
        });
    result.emplace_back(pid, exec == self->execs_.end() ? std::string() : exec->first);
  }
  co_return result;
}

}  // namespace ctrd::runtime::shim
