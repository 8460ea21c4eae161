// SPDX-License-Identifier: Apache-2.0

// How tasks begin and end: Create, Delete, and the death of a shim. The order of the steps is that
// of docs/api/shim.md, sections 6 to 8.

#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/supervisor/exit_marker.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {
namespace {

constexpr absl::Duration kReserveWait = absl::Seconds(10);

absl::Status AsUnknown(const absl::Status& status) {
  return base::WithCode(status, absl::StatusCode::kUnknown);
}

// Its Delete leaves nothing for `shim delete` to do. Of other shims we do not know that.
bool DeletesCompletely(const std::string& binary) {
  return binary.ends_with("/containerd-shim-runc-v2");
}

bool WaitClosed(const ShimClient& shim, absl::Time deadline) {
  constexpr absl::Duration kPause = absl::Milliseconds(1);
  while (!shim.closed()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(kPause);
  }
  return true;
}

}  // namespace

absl::StatusOr<uint32_t> Supervisor::Create(const base::Context& context,
                                            const CreateTask& request) {
  RETURN_IF_ERROR(base::Annotate(base::ValidateIdentifier(request.id),
                                 fmt::format("invalid task id {}", request.id)));
  auto task = std::make_shared<Task>();
  task->bundle = bundles_.Locate(context.namespace_name(), request.id);
  RETURN_IF_ERROR(table_.Reserve(task, context.WithTimeout(kReserveWait).deadline()));

  auto bundle = bundles_.Create(context.namespace_name(), request.id, request.spec);
  if (!bundle.ok()) {
    table_.Erase(task);
    return bundle.status();
  }
  absl::Status status = StartShim(context, request, *task);
  if (status.ok()) status = ConnectShim(task, context.deadline());
  absl::StatusOr<uint32_t> pid =
      status.ok() ? CreateInShim(context, request, *task)
                  : absl::StatusOr<uint32_t>(base::Annotate(status, "failed to start shim"));
  if (!pid.ok()) {
    UndoCreate(task);
    return pid;
  }
  table_.Publish(task);
  // A shim that died before the line above found nobody to bury it.
  if (task->shim->closed()) queue_.Post([this, task] { ShimClosed(task); });
  return pid;
}

absl::Status Supervisor::StartShim(const base::Context& context, const CreateTask& request,
                                   Task& task) {
  ASSIGN_OR_RETURN(task.log, ShimLog::Open(loop_->loop(), task.bundle.File("log"), task.bundle.id));
  if (!request.task_api_address.empty()) {
    task.sandboxed = true;
    ASSIGN_OR_RETURN(task.endpoint,
                     ParseTaskApiAddress(request.task_api_address, request.task_api_version));
    return base::WriteFileAtomically(task.bundle.File("sandbox"), request.sandbox, 0600);
  }
  auto binary = resolver_.Resolve(request.runtime);
  if (!binary.ok()) return base::Annotate(binary.status(), "failed to resolve runtime path");
  task.binary = *std::move(binary);
  // Before the shim exists: what we were about to run is known after a crash.
  RETURN_IF_ERROR(AsUnknown(
      base::WriteFileAtomically(task.bundle.File("shim-binary-path"), task.binary, 0600)));
  ASSIGN_OR_RETURN(task.endpoint,
                   commands_.Start(task.binary, task.bundle, request.options,
                                   context.WithTimeout(timeouts_.shim_start).deadline()));
  return absl::OkStatus();
}

absl::Status Supervisor::ConnectShim(const TaskPtr& task, absl::Time deadline) {
  ASSIGN_OR_RETURN(task->shim,
                   ShimClient::Connect(loop_->loop(), task->endpoint, task->bundle.namespace_name,
                                       std::min(deadline, absl::Now() + timeouts_.shim_load)));
  task->shim->OnClose([this, weak = std::weak_ptr(task)] {
    if (stopping_) return;
    queue_.Post([this, weak] {
      if (const auto closed = weak.lock()) ShimClosed(closed);
    });
  });
  return AsUnknown(WriteEndpoint(task->bundle.path, task->endpoint));
}

absl::StatusOr<uint32_t> Supervisor::CreateInShim(const base::Context& context,
                                                  const CreateTask& request, Task& task) {
  auto answer = task.shim->CallAndWait(
      context, "Create", CreateRequestOf(request, task.bundle.path).SerializeAsString());
  if (!answer.ok()) return base::Annotate(answer.status(), "failed to create shim task");
  ASSIGN_OR_RETURN(const auto created, Parse<task_v3::CreateTaskResponse>(*answer));
  if (task.shim->version() != task.endpoint.version) {
    // So that a restarted daemon does not have to find out again. Not worth failing for.
    task.endpoint.version = task.shim->version();
    (void)WriteEndpoint(task.bundle.path, task.endpoint);
  }
  return created.pid();
}

void Supervisor::UndoCreate(const TaskPtr& task) {
  if (task->shim != nullptr) EndShim(*task);
  if (!task->binary.empty()) {
    (void)commands_.Delete(task->binary, task->bundle, absl::Now() + timeouts_.shim_cleanup);
  }
  RemoveBundle(*task);
  table_.Erase(task);
}

void Supervisor::EndShim(Task& task) {
  const base::Context context =
      base::Context(task.bundle.namespace_name).WithTimeout(timeouts_.shim_cleanup);
  // It may never have come so far that there is something to delete.
  (void)task.shim->CallAndWait(context, "Delete", ProcessRequest(task.bundle.id, ""));
  ShutDownShim(task);
}

void Supervisor::ShutDownShim(Task& task) {
  const absl::Time deadline = absl::Now() + timeouts_.shim_shutdown;
  if (!task.sandboxed) {
    task_v3::ShutdownRequest request;
    request.set_id(task.bundle.id);
    auto answer =
        task.shim->CallAndWait(base::Context(task.bundle.namespace_name).WithDeadline(deadline),
                               "Shutdown", request.SerializeAsString());
    // Until it is gone its socket answers: a new task of this id would join a shim that leaves.
    if (!table_.SharesShim(task) && !WaitClosed(*task.shim, deadline)) {
      base::LogWarn("shim does not leave", {{"id", task.bundle.id}, {"error", answer.status()}});
    }
  }
  task.shim->Close();
}

absl::StatusOr<Exit> Supervisor::Delete(const base::Context& context, std::string_view id) {
  ASSIGN_OR_RETURN(const TaskPtr task,
                   table_.BeginEnd(context.namespace_name(), id, context.deadline()));
  auto answer = task->shim->CallAndWait(Budget(context, *task), "Delete", ProcessRequest(id, ""));
  if (ttrpc::IsClosedError(answer.status())) return BuryDead(task);
  if (!answer.ok() && !absl::IsNotFound(answer.status())) {
    table_.Publish(task);  // Still there.
    if (task->shim->closed()) queue_.Post([this, task] { ShimClosed(task); });
    return base::Annotate(answer.status(), "failed to delete task");
  }
  ShutDownShim(*task);
  if (!answer.ok() || !DeletesCompletely(task->binary)) {
    if (!task->binary.empty()) {
      (void)commands_.Delete(task->binary, task->bundle, absl::Now() + timeouts_.shim_cleanup);
    }
  }
  RemoveBundle(*task);
  table_.Erase(task);
  if (!answer.ok()) return answer.status();
  return ParseDelete(*answer);
}

void Supervisor::ShimClosed(const TaskPtr& task) {
  if (stopping_ || !table_.TryBeginEnd(task)) return;  // Somebody else is ending it.
  base::LogInfo("shim disconnected",
                {{"id", task->bundle.id}, {"namespace", task->bundle.namespace_name}});
  (void)BuryDead(task);
}

absl::StatusOr<Exit> Supervisor::BuryDead(const TaskPtr& task) {
  const Exit exit = CleanUpDead(*task);
  PublishExit(*task, exit);
  PublishDelete(*task, exit);
  RemoveBundle(*task);
  table_.Erase(task);
  return exit;
}

Exit Supervisor::CleanUpDead(Task& task) {
  if (task.shim != nullptr) task.shim->Close();
  if (!task.binary.empty()) {
    auto exit = commands_.Delete(task.binary, task.bundle, absl::Now() + timeouts_.shim_cleanup);
    if (exit.ok()) return *exit;
    base::LogWarn("failed to clean up dead shim",
                  {{"id", task.bundle.id}, {"error", exit.status()}});
  }
  return {.pid = 0, .status = 255, .at = absl::Now()};
}

void Supervisor::RemoveBundle(const Task& task) {
  const absl::Status removed = bundles_.Remove(task.bundle);
  if (!removed.ok()) {
    base::LogError("bundle of a task cannot be removed",
                   {{"path", task.bundle.path}, {"error", removed}});
  }
}

void Supervisor::PublishExit(const Task& task, const Exit& exit) {
  if (options_.events == nullptr) return;
  // containerd.events.TaskExit
  const absl::Status published =
      options_.events->Publish({.timestamp = absl::Now(),
                                .namespace_name = task.bundle.namespace_name,
                                .topic = "/tasks/exit",
                                .payload = {.type_url = "containerd.events.TaskExit",
                                            .value = base::WireWriter()
                                                         .Bytes(1, task.bundle.id)
                                                         .Bytes(2, task.bundle.id)
                                                         .Varint(3, exit.pid)
                                                         .Varint(4, exit.status)
                                                         .Time(5, exit.at)
                                                         .Take()}});
  if (published.ok()) MarkExitTold(task.bundle.path);
}

void Supervisor::PublishDelete(const Task& task, const Exit& exit) {
  if (options_.events == nullptr) return;
  // containerd.events.TaskDelete. The bus refuses only names, and these were checked.
  (void)options_.events->Publish({.timestamp = absl::Now(),
                                  .namespace_name = task.bundle.namespace_name,
                                  .topic = "/tasks/delete",
                                  .payload = {.type_url = "containerd.events.TaskDelete",
                                              .value = base::WireWriter()
                                                           .Bytes(1, task.bundle.id)
                                                           .Varint(2, exit.pid)
                                                           .Varint(3, exit.status)
                                                           .Time(4, exit.at)
                                                           .Bytes(5, task.bundle.id)
                                                           .Take()}});
}

}  // namespace ctrd::runtime
