// SPDX-License-Identifier: Apache-2.0

// How tasks end: Delete, and the death of a shim. The order of the steps is that of
// docs/api/shim.md, sections 7 and 8.

#include <utility>

#include "absl/time/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/supervisor/exit_marker.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/shim_process.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {
namespace {

// Its Delete leaves nothing for `shim delete` to do. Of other shims we do not know that.
bool DeletesCompletely(const std::string& binary) {
  return binary.ends_with("/containerd-shim-runc-v2");
}

void LogBundleStays(const Task& task, const absl::Status& why) {
  base::LogError("bundle of a task cannot be removed",
                 {{"path", task.bundle.path}, {"error", why}});
}

// True also where the daemon ends: who leaves does so without us.
bool WaitClosed(const ShimClient& shim, absl::Time deadline, const std::atomic<bool>& stopping) {
  constexpr absl::Duration kPause = absl::Milliseconds(1);
  while (!shim.closed() && !stopping) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(kPause);
  }
  return true;
}

}  // namespace

absl::StatusOr<Exit> Supervisor::Delete(const base::Context& context, std::string_view id) {
  const OperationName name{"Delete", context.namespace_name(), std::string(id), ""};
  ASSIGN_OR_RETURN(
      const std::string answer,
      operations_.Join(context, name, "", [&](const Operations::Handle& operation) {
        operation.Stage("its shim to be found");
        const auto found = table_.BeginEnd(context.namespace_name(), id,
                                           context.WithTimeout(timeouts_.shim_load).deadline());
        if (!found.ok()) return operation.End(found.status(), !context.Check().ok());
        operation.Stage("answer of the shim");
        // From here on it is finished, whether its caller waits or not.
        (*found)->shim()->Call("Delete", ProcessRequest(id, ""), absl::Now() + LimitOf("Delete"),
                               [this, weak = std::weak_ptr(*found), operation](auto deleted) {
                                 const TaskPtr task = weak.lock();
                                 if (task == nullptr) return;
                                 operation.Continue([this, task, operation, deleted] {
                                   FinishDelete(task, deleted, operation);
                                 });
                               });
      }));
  return ParseDelete(answer);
}

void Supervisor::FinishDelete(const TaskPtr& task, const absl::StatusOr<std::string>& answer,
                              const Operations::Handle& operation) {
  if (ttrpc::IsClosedError(answer.status())) {
    operation.Stage("clean-up after its shim");
    const auto exit = BuryDead(task);
    if (!exit.ok()) return operation.End(exit.status());
    return operation.End(EncodeDelete(*exit));
  }
  if (!answer.ok() && !absl::IsNotFound(answer.status())) {
    table_.Publish(task);  // Still there.
    if (task->shim()->closed()) queue_.Post([this, task] { ShimClosed(task); });
    return operation.End(base::Annotate(answer.status(), "failed to delete task"));
  }
  const bool deleted = answer.ok() && DeletesCompletely(task->binary);
  // Below a root file system that is still mounted nothing can be given back: then all is waited
  // for.
  if (deleted && !HasActiveMounts(*task)) return Retire(task, answer, operation);
  operation.Stage("shim to leave");
  ShutDownShim(*task);
  if (!task->binary.empty() && !deleted) {
    operation.Stage(fmt::format("'{} delete'", task->binary));
    (void)commands_.Delete(task->binary, task->bundle, absl::Now() + timeouts_.shim_cleanup);
  }
  operation.Stage("removal of the bundle");
  RemoveBundle(*task);
  Leave(task, ttrpc::ClosedError());
  operation.End(answer);
}

// The shim has nothing left of the task and knows that it is to leave, and without its bundle no
// daemon will find the task again. The caller need not wait for the rest, only who wants the id.
void Supervisor::Retire(const TaskPtr& task, const absl::StatusOr<std::string>& answer,
                        const Operations::Handle& operation) {
  operation.Stage("shim to leave");
  const absl::Time deadline = absl::Now() + timeouts_.shim_shutdown;
  const absl::Status told = TellToLeave(*task, deadline);
  if (!told.ok()) AwaitLeft(*task, told, deadline);  // Found by its bundle until it is gone.
  operation.Stage("removal of the bundle");
  auto hidden = bundles_.Hide(task->bundle);
  table_.Retire(task);
  task->waits.End(ttrpc::ClosedError());
  leaving_.Post([this, task, told, deadline, hidden = std::move(hidden)] {
    AwaitLeft(*task, told, deadline);
    const absl::Status removed = hidden.ok() ? bundles_.RemoveHidden(*hidden) : hidden.status();
    if (!removed.ok()) LogBundleStays(*task, removed);
    table_.Erase(task);
  });
  operation.End(answer);
}

void Supervisor::EndShim(Task& task) {
  const base::Context context =
      base::Context(task.bundle.namespace_name).WithTimeout(timeouts_.shim_cleanup);
  // It may never have come so far that there is something to delete.
  (void)task.shim()->CallAndWait(context, "Delete", ProcessRequest(task.bundle.id, ""));
  ShutDownShim(task);
}

// Where it listens follows from the names, if the task is not grouped with others.
void Supervisor::EndUnknownShim(Task& task) {
  if (!task.endpoint.address.empty() || options_.shims.socket_dir.empty()) return;
  const std::string name = fmt::format("{}/{}/{}", options_.shims.grpc_address,
                                       task.bundle.namespace_name, task.bundle.id);
  table_.SetEndpoint(task, {.version = 3,
                            .address = fmt::format("unix://{}/{}", options_.shims.socket_dir,
                                                   base::Digest::Of(name).hex()),
                            .protocol = "ttrpc"});
  auto shim = ShimClient::Connect(loop_->loop(), task.endpoint, task.bundle.namespace_name,
                                  absl::Now() + timeouts_.shim_shutdown);
  if (!shim.ok()) return;  // There is none: the usual case.
  base::LogWarn("ending a shim that was never connected", {{"id", task.bundle.id}});
  task.SetShim(*std::move(shim));
  EndShim(task);
}

void Supervisor::ShutDownShim(Task& task) {
  const absl::Time deadline = absl::Now() + timeouts_.shim_shutdown;
  const absl::Status told = TellToLeave(task, deadline);
  AwaitLeft(task, told, deadline);
}

absl::Status Supervisor::TellToLeave(Task& task, absl::Time deadline) {
  if (task.sandboxed) return absl::OkStatus();
  task_v3::ShutdownRequest request;
  request.set_id(task.bundle.id);
  return task.shim()
      ->CallAndWait(base::Context(task.bundle.namespace_name).WithDeadline(deadline), "Shutdown",
                    request.SerializeAsString())
      .status();
}

void Supervisor::AwaitLeft(Task& task, const absl::Status& told, absl::Time deadline) {
  const auto shim = task.shim();
  // Until it is gone its socket answers: a new task of this id would join a shim that leaves.
  if (!task.sandboxed && !table_.SharesShim(task) && !WaitClosed(*shim, deadline, stopping_)) {
    const bool killed = KillListeners(task.endpoint.address, absl::Now() + timeouts_.shim_shutdown);
    if (killed) killed_.Add();
    RemoveDeadSocket(task.endpoint.address, options_.shims.socket_dir);
    base::LogWarn(killed ? "shim did not leave, killed it" : "shim does not leave",
                  {{"id", task.bundle.id}, {"error", told}});
  }
  shim->Close();
}

void Supervisor::ShimClosed(const TaskPtr& task) {
  if (stopping_) return;
  const auto was = table_.TryBeginEnd(task);
  if (!was) return;  // Somebody else is ending it.
  const bool quarantined = was == TaskTable::Stage::kQuarantined;
  task->waits.Disconnected();
  // A connection may break without the shim: killing its container for that would be our fault.
  switch (quarantined ? LookAt(*task) : Reach(task)) {
    case Reached::kYes:
      if (quarantined) return Quarantine(task, kHangsUp, true);  // It is asked when its time comes.
      return AskForState(task, Asker::kOwner, absl::Now() + timeouts_.shim_load);
    case Reached::kNoAnswer:
      return Quarantine(task, kNotReached, quarantined);
    case Reached::kNobody:
      break;
  }
  base::LogInfo("shim disconnected",
                {{"id", task->bundle.id}, {"namespace", task->bundle.namespace_name}});
  (void)BuryDead(task);
}

absl::StatusOr<Exit> Supervisor::BuryDead(const TaskPtr& task) {
  died_.Add();
  const Exit exit = CleanUpDead(*task);
  if (!SomeExitWasTold(task->bundle.path, "")) PublishExit(*task, "", exit);
  PublishDelete(*task, exit);
  RemoveBundle(*task);
  Leave(task, ttrpc::ClosedError());
  return exit;
}

Exit Supervisor::CleanUpDead(Task& task) {
  if (const auto shim = task.shim()) shim->Close();
  if (!task.binary.empty()) {
    auto exit = commands_.Delete(task.binary, task.bundle, absl::Now() + timeouts_.shim_cleanup);
    if (!task.sandboxed && !table_.SharesShim(task)) {
      RemoveDeadSocket(task.endpoint.address, options_.shims.socket_dir);
    }
    if (exit.ok()) return *exit;
    base::LogWarn("failed to clean up dead shim",
                  {{"id", task.bundle.id}, {"error", exit.status()}});
  }
  return {.pid = 0, .status = 255, .at = absl::Now()};
}

void Supervisor::RemoveBundle(const Task& task) {
  if (const absl::Status removed = bundles_.Remove(task.bundle); !removed.ok()) {
    LogBundleStays(task, removed);
  }
  DeactivateRootfs(task);  // After what was mounted over it.
}

void Supervisor::Leave(const TaskPtr& task, const absl::Status& why) {
  table_.Erase(task);
  task->waits.End(why);
}

}  // namespace ctrd::runtime
