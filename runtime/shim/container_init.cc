// SPDX-License-Identifier: Apache-2.0

// Operations on a container's first process, and on the container as a whole.
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/time.h"
#include "events/task.pb.h"
#include "runtime/shim/container.h"
#include "runtime/shim/proto_time.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kStuck = absl::Seconds(5);
constexpr absl::Duration kDrain = absl::Seconds(10);
constexpr absl::Duration kOverlaysEnd = absl::Milliseconds(100);

}  // namespace

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
  auto hidden = base::UnmountAllButOverlays(self->RootfsPath());
  if (!hidden.ok()) {
    co_return base::Annotate(absl::UnknownError(hidden.status().message()), "failed rootfs umount");
  }
  // The end of an overlay takes long. It comes with that of this process, which is near if this was
  // its last container, and soon if not.
  self->shim_.loop->After(
      kOverlaysEnd, [kept = std::make_shared<std::vector<base::UniqueFd>>(*std::move(hidden))] {});
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
  // The record of the exit stays for as long as the bundle: the answer may never arrive.
  self->init_->EndWaits(ttrpc::ClosedError());
  for (const auto& [exec_id, exec] : self->execs_) exec->EndWaits(ttrpc::ClosedError());
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

// Calls wait for each other, and a runtime that hangs keeps them all waiting: start, say, on a hook
// that never ends. Who sends SIGKILL wants the container gone and ends such a call, too.
void Container::EndStuckCall(const Ptr& self) {
  const runc::RunningInvocation call = self->runc_.latest();
  if (call.running()) self->shim_.loop->After(kStuck, [call] { call.Kill(); });
}

Async<absl::Status> Container::KillInit(Ptr self, uint32_t signal, bool all) {
  if (signal == SIGKILL) EndStuckCall(self);
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  if (self->deleted()) co_return base::NotFound("cannot kill a deleted process");
  if (self->init_->state == State::kStopped && !all) {
    co_return base::NotFound("process already finished");
  }
  Completion<absl::Status> killed;
  self->runc_.Kill(self->id(), signal, all, killed.callback());
  if (signal == SIGKILL) EndStuckCall(self);
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
