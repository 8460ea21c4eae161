// SPDX-License-Identifier: Apache-2.0

// Exits, told once: those that shims forward, those of dead shims, and those that happened while no
// daemon ran.

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/supervisor/exit_marker.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {
namespace {

constexpr size_t kRecordLimitBytes = 1024;

// The ids of the execs that have left a file `<exec id><suffix>` in a bundle.
std::vector<std::string> ExecsWith(const std::vector<std::string>& names, std::string_view suffix) {
  std::vector<std::string> execs;
  for (const std::string& name : names) {
    if (!name.ends_with(suffix) || name == "init.pid") continue;
    std::string id = name.substr(0, name.size() - suffix.size());
    if (base::ValidateIdentifier(id).ok()) execs.push_back(std::move(id));
  }
  return execs;
}

}  // namespace

// Looked up, published and marked under one lock: the shim and adoption may tell the same exit.
absl::Status Supervisor::TellExit(const std::string& bundle_path, const std::string& process,
                                  const Exit& exit, const base::Event& event) {
  const std::scoped_lock lock(telling_);
  if (ExitWasTold(bundle_path, process, exit)) return absl::OkStatus();
  RETURN_IF_ERROR(options_.events->Publish(event));
  MarkExitTold(bundle_path, process, exit);
  return absl::OkStatus();
}

absl::Status Supervisor::ForwardedEvents::Publish(const base::Event& event) {
  if (event.topic != "/tasks/exit") return supervisor_.options_.events->Publish(event);
  std::string container, process;
  Exit exit;
  base::WireReader reader(event.payload.value);  // containerd.events.TaskExit
  while (auto field = reader.Next()) {
    if (field->number == 1) container = field->bytes;
    if (field->number == 2) process = field->bytes;
    if (field->number == 3) exit.pid = static_cast<uint32_t>(field->varint);
    if (field->number == 4) exit.status = static_cast<uint32_t>(field->varint);
    if (field->number == 5) exit.at = base::ReadWireTime(field->bytes);
  }
  // A name that is none must not become a path.
  if (!base::ValidateIdentifier(container).ok() || !base::ValidateIdentifier(process).ok() ||
      !base::ValidateIdentifier(event.namespace_name).ok()) {
    return supervisor_.options_.events->Publish(event);
  }
  return supervisor_.TellExit(supervisor_.bundles_.Locate(event.namespace_name, container).path,
                              process == container ? "" : process, exit, event);
}

void Supervisor::PublishExit(const Task& task, const std::string& process, const Exit& exit) {
  if (options_.events == nullptr) return;
  // The bus refuses only names, and these were checked.
  (void)TellExit(task.bundle.path, process, exit,
                 {.timestamp = absl::Now(),
                  .namespace_name = task.bundle.namespace_name,
                  .topic = "/tasks/exit",
                  .payload = {.type_url = "containerd.events.TaskExit",
                              .value = base::WireWriter()
                                           .Bytes(1, task.bundle.id)
                                           .Bytes(2, process.empty() ? task.bundle.id : process)
                                           .Varint(3, exit.pid)
                                           .Varint(4, exit.status)
                                           .Time(5, exit.at)
                                           .Take()}});
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

// Our shim keeps a record of each exit in the bundle. Others leave at least the file with the pid
// of each exec, and can be asked.
std::vector<ProcessState> Supervisor::ExitedExecs(const Task& task) {
  const auto names = base::ListDirectory(task.bundle.path);
  if (!names.ok()) return {};
  std::vector<ProcessState> exited;
  const std::vector<std::string> recorded = ExecsWith(*names, ".exit");
  for (const std::string& id : recorded) {
    const auto record =
        base::ReadFile(fmt::format("{}/{}.exit", task.bundle.path, id), kRecordLimitBytes);
    const auto exit = record.ok() ? ParseDelete(*record) : absl::StatusOr<Exit>(record.status());
    if (exit.ok()) exited.push_back({.id = id, .state = TaskState::kStopped, .exit = *exit});
  }
  for (const std::string& id : ExecsWith(*names, ".pid")) {
    if (std::find(recorded.begin(), recorded.end(), id) != recorded.end()) continue;
    const base::Context context =
        base::Context(task.bundle.namespace_name).WithTimeout(timeouts_.task_state);
    const auto answer =
        task.shim()->CallAndWait(context, "State", ProcessRequest(task.bundle.id, id));
    if (absl::IsDeadlineExceeded(answer.status())) break;
    const auto state = answer.ok() ? Parse<task_v3::StateResponse>(*answer)
                                   : absl::StatusOr<task_v3::StateResponse>(answer.status());
    if (!state.ok()) continue;
    ProcessState process = ProcessOf(*state);
    process.id = id;
    if (process.state == TaskState::kStopped) exited.push_back(std::move(process));
  }
  return exited;
}

// Execs first: the exit of the first process is the last of a task.
void Supervisor::TellMissedExits(const Task& task, const ProcessState& state) {
  for (const ProcessState& exec : ExitedExecs(task)) PublishExit(task, exec.id, exec.exit);
  if (state.state == TaskState::kStopped) PublishExit(task, "", state.exit);
}

}  // namespace ctrd::runtime
