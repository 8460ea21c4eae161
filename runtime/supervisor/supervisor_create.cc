// SPDX-License-Identifier: Apache-2.0

// How tasks begin. The order of the steps is that of docs/api/shim.md, section 6; after each of
// them the daemon may die, and what it leaves is known from the bundle (supervisor_adopt.cc).

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/supervisor/runtime_features.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {
namespace {

constexpr absl::Duration kReserveWait = absl::Seconds(10);
constexpr absl::Duration kCreateLead = absl::Milliseconds(100);

absl::Status AsUnknown(const absl::Status& status) {
  return base::WithCode(status, absl::StatusCode::kUnknown);
}

// All that makes a request what it is: an equal one may share its answer.
std::string Fingerprint(const CreateTask& request) {
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.runtime, request.sandbox,
                     request.task_api_address, request.task_api_version,
                     CreateRequestOf(request, "").SerializeAsString(), request.spec.value);
}

}  // namespace

absl::StatusOr<uint32_t> Supervisor::Create(const base::Context& context,
                                            const CreateTask& request) {
  RETURN_IF_ERROR(base::Annotate(base::ValidateIdentifier(request.id),
                                 fmt::format("invalid task id {}", request.id)));
  ASSIGN_OR_RETURN(const std::string answer,
                   operations_.Join(context, {"Create", context.namespace_name(), request.id, ""},
                                    Fingerprint(request), [&](const Operations::Handle& operation) {
                                      CreateNow(context.WithTimeout(timeouts_.long_call), request,
                                                operation);
                                    }));
  ASSIGN_OR_RETURN(const auto created, Parse<task_v3::CreateTaskResponse>(answer));
  return created.pid();
}

void Supervisor::CreateNow(const base::Context& context, const CreateTask& request,
                           const Operations::Handle& operation) {
  lead_.Take(kCreateLead);
  auto task = std::make_shared<Task>();
  task->bundle = bundles_.Locate(context.namespace_name(), request.id);
  operation.Stage("end of the task that had this id");
  const absl::Status reserved = table_.Reserve(task, context.WithTimeout(kReserveWait).deadline());
  if (!reserved.ok()) return operation.End(reserved);
  auto answer = CreateShimAndTask(context, request, task, operation);
  if (answer.ok()) {
    task->waits.Connected();
    table_.Publish(task);
    // A shim that died before the line above found nobody to bury it.
    if (task->shim()->closed()) queue_.Post([this, task] { ShimClosed(task); });
  }
  // After a caller that gave up nothing is left, and who joined it begins anew.
  const bool given_up = !answer.ok() && !context.Check().ok();
  operation.End(std::move(answer), given_up);
}

absl::StatusOr<std::string> Supervisor::CreateShimAndTask(const base::Context& context,
                                                          const CreateTask& original,
                                                          const TaskPtr& task,
                                                          const Operations::Handle& operation) {
  operation.Stage("bundle directory");
  auto bundle = bundles_.Create(context.namespace_name(), original.id, original.spec);
  if (!bundle.ok()) {
    Leave(task, bundle.status());
    return bundle.status();
  }
  operation.Stage("mounts of the root file system");
  auto rootfs = ActivateRootfs(context, original, *task);
  if (!rootfs.ok()) {
    (void)bundles_.Remove(*bundle);  // Nothing else of it is there yet.
    Leave(task, rootfs.status());
    return rootfs.status();
  }
  CreateTask request = original;
  request.rootfs = *std::move(rootfs);
  absl::Status status = StartShim(context, request, *task, operation);
  operation.Stage("connection to the shim");
  if (status.ok()) {
    status = ConnectShim(task, context.deadline());
    // A socket that is not there does not mean that the container is not there.
    if (!absl::IsDeadlineExceeded(status)) status = AsUnknown(status);
  }
  // Here, not where it is read: a restart writes nothing for each task that it finds.
  if (status.ok()) status = AsUnknown(WriteEndpoint(task->bundle.path, task->endpoint));
  status = base::Annotate(status, "failed to start shim");
  operation.Stage("features of the runtime");
  if (status.ok()) status = CheckFeatures(context, request);
  operation.Stage("answer of the shim");
  absl::StatusOr<std::string> answer =
      status.ok() ? CreateInShim(context, request, *task) : absl::StatusOr<std::string>(status);
  if (answer.ok()) return answer;
  operation.Stage("clean-up after a failure");
  UndoCreate(task);
  return answer;
}

absl::Status Supervisor::CheckFeatures(const base::Context& context, const CreateTask& request) {
  if (!UsesIdMappedMounts(request.spec.value)) return absl::OkStatus();
  const auto info = RuntimeInfo(context, request.runtime, request.options);
  return base::Annotate(
      info.ok() ? CheckIdMappedMounts(info->value) : base::Annotate(info.status(), "runtime info"),
      "failed to validate OCI runtime features");
}

absl::Status Supervisor::StartShim(const base::Context& context, const CreateTask& request,
                                   Task& task, const Operations::Handle& operation) {
  ASSIGN_OR_RETURN(task.log, ShimLog::Open(loop_->loop(), task.bundle.File("log"), task.bundle.id));
  if (!request.task_api_address.empty()) {
    task.sandboxed = true;
    ASSIGN_OR_RETURN(ShimEndpoint endpoint,
                     ParseTaskApiAddress(request.task_api_address, request.task_api_version));
    table_.SetEndpoint(task, std::move(endpoint));
    return base::WriteFileAtomically(task.bundle.File("sandbox"), request.sandbox, 0600);
  }
  auto binary = resolver_.Resolve(request.runtime);
  if (!binary.ok()) return base::Annotate(binary.status(), "failed to resolve runtime path");
  // Before the shim exists: what we were about to run is known after a crash.
  RETURN_IF_ERROR(
      AsUnknown(base::WriteFileAtomically(task.bundle.File("shim-binary-path"), *binary, 0600)));
  task.binary = *std::move(binary);
  operation.Stage(fmt::format("'{} start'", task.binary));
  ASSIGN_OR_RETURN(ShimEndpoint endpoint,
                   commands_.Start(task.binary, task.bundle, request.options,
                                   context.WithTimeout(timeouts_.shim_start).deadline()));
  table_.SetEndpoint(task, std::move(endpoint));
  return absl::OkStatus();
}

absl::Status Supervisor::ConnectShim(const TaskPtr& task, absl::Time deadline) {
  ASSIGN_OR_RETURN(const auto shim,
                   ShimClient::Connect(loop_->loop(), task->endpoint, task->bundle.namespace_name,
                                       std::min(deadline, absl::Now() + timeouts_.shim_load)));
  task->SetShim(shim);
  shim->OnClose([this, weak = std::weak_ptr(task)] {
    if (stopping_) return;
    queue_.Post([this, weak] {
      if (const auto closed = weak.lock()) ShimClosed(closed);
    });
  });
  return absl::OkStatus();
}

absl::StatusOr<std::string> Supervisor::CreateInShim(const base::Context& context,
                                                     const CreateTask& request, Task& task) {
  const auto shim = task.shim();
  auto answer = shim->CallAndWait(context, "Create",
                                  CreateRequestOf(request, task.bundle.path).SerializeAsString());
  if (!answer.ok()) return base::Annotate(answer.status(), "failed to create shim task");
  RETURN_IF_ERROR(Parse<task_v3::CreateTaskResponse>(*answer).status());
  if (shim->version() != task.endpoint.version) {
    // So that a restarted daemon does not have to find out again. Not worth failing for.
    ShimEndpoint endpoint = task.endpoint;
    endpoint.version = shim->version();
    (void)WriteEndpoint(task.bundle.path, endpoint);
    table_.SetEndpoint(task, std::move(endpoint));
  }
  return answer;
}

void Supervisor::UndoCreate(const TaskPtr& task) {
  if (task->shim() != nullptr) {
    EndShim(*task);
  } else if (!task->binary.empty()) {
    EndUnknownShim(*task);
  }
  if (!task->binary.empty()) {
    (void)commands_.Delete(task->binary, task->bundle, absl::Now() + timeouts_.shim_cleanup);
  }
  RemoveBundle(*task);
  Leave(task, TaskNotFound(task->bundle.id));
}

}  // namespace ctrd::runtime
