// SPDX-License-Identifier: Apache-2.0

// Operations on the execs of a container.
#include <signal.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"
#include "events/task.pb.h"
#include "runtime/shim/bundle_spec.h"
#include "runtime/shim/container.h"
#include "runtime/shim/temporary.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kDrain = absl::Seconds(10);

}  // namespace

absl::Status Container::AddExec(const std::string& exec_id, const std::string& process_json,
                                StdioPaths paths) {
  if (execs_.contains(exec_id)) return base::AlreadyExists("id {}", exec_id);
  RETURN_IF_ERROR(CheckAction(init_->state, Action::kExec));
  ASSIGN_OR_RETURN(std::string document, WithTerminal(process_json, paths.terminal));
  auto process = std::make_shared<Process>(shim_.loop, exec_id, std::move(paths));
  process->document = std::move(document);
  execs_[exec_id] = std::move(process);
  containerd::events::TaskExecAdded event;
  event.set_container_id(request_.id);
  event.set_exec_id(exec_id);
  Publish("/tasks/exec-added", event);
  return absl::OkStatus();
}

Async<absl::StatusOr<uint32_t>> Container::StartExec(Ptr self, std::shared_ptr<Process> process) {
  const AsyncMutex::Guard guard = co_await process->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(process->state, Action::kStart));
  if (self->init_exiting_ || self->init_->state == State::kStopped || self->deleted()) {
    co_return base::FailedPrecondition("container {} init process is not running", self->id());
  }
  ++self->active_execs_;
  const absl::Status status = co_await RunExec(self, process);
  if (!status.ok()) {
    process->io.reset();
    process->SetStartFailed();
    --self->active_execs_;
    self->execs_changed_.Notify();
    co_return status;
  }
  co_return process->pid;
}

Async<absl::Status> Container::RunExec(Ptr self, std::shared_ptr<Process> process) {
  const IoOptions io_options = self->IoOptionsFor(*process);
  auto io = co_await ProcessIo::Open(self->shim_.loop, self->shim_.reaper, io_options);
  if (!io.ok()) co_return IoError(io.status(), "failed to create exec process I/O");
  process->io = *std::move(io);
  CO_ASSIGN_OR_RETURN(const TemporaryFile document,
                      TemporaryFile::Create(kProcessDocument, self->bundle(), process->document));

  const runc::Reaper::Attention attention = self->shim_.reaper->PayAttention();
  (void)::unlink(self->PidFile(process->exec_id).c_str());  // Of a try that failed.
  const runc::ExecOptions options{.process_file = document.path(),
                                  .pid_file = self->PidFile(process->exec_id),
                                  .console_socket = process->io->console_socket()};
  Completion<absl::Status> run;
  self->runc_.Exec(self->id(), options, process->io->child_stdio(), run.callback());
  absl::Status status = co_await run;
  if (status.ok()) {
    status = co_await process->io->Started();
  }
  const absl::StatusOr<uint32_t> pid = self->ReadPidFile(process->exec_id);
  status.Update(pid.status());
  if (!status.ok()) {
    self->EndFailedExec(process->exec_id);
    co_return status;
  }
  process->pid = *pid;
  process->state = State::kRunning;
  process->document.clear();
  containerd::events::TaskExecStarted event;
  event.set_container_id(self->id());
  event.set_exec_id(process->exec_id);
  event.set_pid(*pid);
  self->Publish("/tasks/exec-started", event);
  self->shim_.reaper->Watch(static_cast<pid_t>(*pid),
                            [self, process](runc::Exit exit) { self->ExecExited(process, exit); });
  co_return absl::OkStatus();
}

// The runtime may have been killed after it had started the process.
void Container::EndFailedExec(const std::string& exec_id) const {
  const absl::StatusOr<uint32_t> pid = ReadPidFile(exec_id);
  if (pid.ok() && shim_.reaper->IsOrphan(static_cast<pid_t>(*pid))) {
    (void)::kill(static_cast<pid_t>(*pid), SIGKILL);
  }
  (void)::unlink(PidFile(exec_id).c_str());
}

Async<absl::StatusOr<ExitRecord>> Container::DeleteExec(Ptr self,
                                                        std::shared_ptr<Process> process) {
  const AsyncMutex::Guard guard = co_await process->mutex.Acquire();
  CO_RETURN_IF_ERROR(CheckAction(process->state, Action::kDelete));
  if (process->io != nullptr && process->state == State::kStopped) {
    (void)co_await process->io->Drain(absl::Now() + kDrain);
  }
  process->io.reset();
  process->state = State::kDeleted;
  (void)::unlink(self->PidFile(process->exec_id).c_str());  // Absent if it was never started.
  RemoveExitRecord(self->bundle(), process->exec_id);
  self->execs_.erase(process->exec_id);
  ExitRecord result = process->exit;
  result.pid = process->pid;
  process->EndWaits(ttrpc::ClosedError());
  co_return result;
}

}  // namespace ctrd::runtime::shim
