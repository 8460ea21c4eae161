// SPDX-License-Identifier: Apache-2.0

// What happens after a restart of the daemon: docs/api/shim.md, section 9, with two differences.
// The API is served meanwhile, and a task that has stopped but was not deleted is kept, so that its
// exit status survives.

#include <utility>

#include "absl/time/clock.h"
#include "base/digest.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/supervisor/exit_marker.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {

void Supervisor::Adopt() {
  queue_.Post([this] { bundles_.RemoveLeftovers(); });
  for (TaskPtr& task : std::exchange(found_, {})) {
    queue_.Post([this, task = std::move(task)] { AdoptOne(task); });
  }
}

absl::Status Supervisor::FindShimOf(Task& task) {
  constexpr size_t kPathLimitBytes = 8192;
  auto binary = base::ReadFile(task.bundle.File("shim-binary-path"), kPathLimitBytes);
  task.sandboxed = base::Exists(task.bundle.File("sandbox"));
  if (binary.ok()) {
    task.binary = *std::move(binary);
    return absl::OkStatus();
  }
  if (options_.runtime_of == nullptr) return binary.status();
  ASSIGN_OR_RETURN(const std::string runtime,
                   options_.runtime_of(task.bundle.namespace_name, task.bundle.id));
  ASSIGN_OR_RETURN(task.binary, resolver_.Resolve(runtime));
  return absl::OkStatus();
}

void Supervisor::AdoptOne(const TaskPtr& task) {
  if (stopping_) return;
  const absl::Status found = FindShimOf(*task);
  if (!found.ok() && !task->sandboxed) {
    base::LogWarn("bundle without a shim, removing it",
                  {{"path", task->bundle.path}, {"error", found}});
    RemoveBundle(*task);
    return table_.Erase(task);
  }
  const absl::Time deadline = absl::Now() + timeouts_.shim_load;
  auto endpoint = ReadEndpoint(task->bundle.path);
  absl::Status connected = endpoint.status();
  if (endpoint.ok()) {
    task->endpoint = *std::move(endpoint);
    connected = ConnectShim(task, deadline);
  }
  if (!connected.ok()) {
    EndUnknownShim(*task);
    base::LogInfo("shim is gone, cleaning up", {{"id", task->bundle.id},
                                                {"namespace", task->bundle.namespace_name},
                                                {"error", connected}});
    return Forget(task);
  }
  auto log = ShimLog::Open(loop_->loop(), task->bundle.File("log"), task->bundle.id);
  if (log.ok()) {
    task->log = *std::move(log);
  } else {
    base::LogWarn("log of a shim is lost", {{"id", task->bundle.id}, {"error", log.status()}});
  }
  task->shim->Call("State", ProcessRequest(task->bundle.id, ""), deadline,
                   [this, weak = std::weak_ptr(task)](absl::StatusOr<std::string> state) {
                     queue_.Post([this, weak, state = std::move(state)] {
                       if (const auto asked = weak.lock()) Adopted(asked, state);
                     });
                   });
}

// Ends the shim of a bundle whose daemon died between starting it and writing down where it
// listens. Where that is follows from the names, if the task is not grouped with others.
void Supervisor::EndUnknownShim(Task& task) {
  if (!task.endpoint.address.empty() || options_.shims.socket_dir.empty()) return;
  const std::string name = fmt::format("{}/{}/{}", options_.shims.grpc_address,
                                       task.bundle.namespace_name, task.bundle.id);
  task.endpoint = {.version = 3,
                   .address = fmt::format("unix://{}/{}", options_.shims.socket_dir,
                                          base::Digest::Of(name).hex()),
                   .protocol = "ttrpc"};
  auto shim = ShimClient::Connect(loop_->loop(), task.endpoint, task.bundle.namespace_name,
                                  absl::Now() + timeouts_.shim_shutdown);
  if (!shim.ok()) return;  // There is none: the usual case.
  base::LogWarn("ending a shim that was never connected", {{"id", task.bundle.id}});
  task.shim = *std::move(shim);
  EndShim(task);
}

void Supervisor::Adopted(const TaskPtr& task, const absl::StatusOr<std::string>& state) {
  if (stopping_) return;
  const base::LogFields fields = {{"id", task->bundle.id},
                                  {"namespace", task->bundle.namespace_name},
                                  {"error", state.status()}};
  if (ttrpc::IsClosedError(state.status())) {
    base::LogInfo("shim left while it was asked, cleaning up", fields);
    return Forget(task);
  }
  if (absl::IsNotFound(state.status())) {
    // Started but never created, or deleted already, when the daemon went away.
    base::LogWarn("shim without its task, ending it", fields);
    EndShim(*task);
    (void)CleanUpDead(*task);
    RemoveBundle(*task);
    return table_.Erase(task);
  }
  if (absl::IsDeadlineExceeded(state.status())) {
    task->mute = true;
    base::LogError("shim does not answer, keeping its task", fields);
  } else if (!state.ok()) {
    base::LogWarn("shim cannot tell the state of its task", fields);
  } else {
    TellMissedExit(*task, *state);
  }
  table_.Publish(task);
  if (task->shim->closed()) ShimClosed(task);
}

void Supervisor::TellMissedExit(const Task& task, const std::string& state) {
  const auto answer = Parse<task_v3::StateResponse>(state);
  if (!answer.ok()) return;
  const ProcessState process = ProcessOf(*answer);
  if (process.state != TaskState::kStopped || ExitWasTold(task.bundle.path)) return;
  PublishExit(task, process.exit);
}

void Supervisor::Forget(const TaskPtr& task) {
  const bool was_created = base::Exists(task->bundle.File("bootstrap.json"));
  const bool exit_told = ExitWasTold(task->bundle.path);
  const Exit exit = CleanUpDead(*task);
  if (was_created) {
    if (!exit_told) PublishExit(*task, exit);
    PublishDelete(*task, exit);
  }
  RemoveBundle(*task);
  table_.Erase(task);
}

absl::Status Supervisor::ForwardedEvents::Publish(const base::Event& event) {
  RETURN_IF_ERROR(supervisor_.options_.events->Publish(event));
  if (event.topic != "/tasks/exit") return absl::OkStatus();
  std::string container, process;
  base::WireReader reader(event.payload.value);
  while (auto field = reader.Next()) {
    if (field->number == 1) container = field->bytes;
    if (field->number == 2) process = field->bytes;
  }
  // Execs have ids of their own. A name that is none must not become a path.
  if (container == process && base::ValidateIdentifier(container).ok()) {
    MarkExitTold(supervisor_.bundles_.Locate(event.namespace_name, container).path);
  }
  return absl::OkStatus();
}

}  // namespace ctrd::runtime
