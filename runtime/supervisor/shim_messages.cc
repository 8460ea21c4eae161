// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_messages.h"

#include "base/time.h"
#include "base/wire.h"

namespace ctrd::runtime {
namespace {

TaskState StateOf(containerd::v1::types::Status status) {
  switch (status) {
    case containerd::v1::types::CREATED:
      return TaskState::kCreated;
    case containerd::v1::types::RUNNING:
      return TaskState::kRunning;
    case containerd::v1::types::STOPPED:
      return TaskState::kStopped;
    case containerd::v1::types::PAUSED:
      return TaskState::kPaused;
    case containerd::v1::types::PAUSING:
      return TaskState::kPausing;
    default:
      return TaskState::kUnknown;
  }
}

template <typename Message>
absl::Time ExitTime(const Message& message) {
  return message.has_exited_at() ? TimeOf(message.exited_at()) : base::ZeroTime();
}

}  // namespace

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

ProcessState ProcessOf(const task_v3::StateResponse& state) {
  return {.id = state.exec_id().empty() ? state.id() : state.exec_id(),
          .pid = state.pid(),
          .state = StateOf(state.status()),
          .stdio = {.stdin_path = state.stdin(),
                    .stdout_path = state.stdout(),
                    .stderr_path = state.stderr(),
                    .terminal = state.terminal()},
          .exit = {.pid = state.pid(), .status = state.exit_status(), .at = ExitTime(state)}};
}

task_v3::CreateTaskRequest CreateRequestOf(const CreateTask& task, const std::string& bundle) {
  task_v3::CreateTaskRequest request;
  request.set_id(task.id);
  request.set_bundle(bundle);
  for (const base::Mount& mount : task.rootfs) {
    auto* entry = request.add_rootfs();
    entry->set_type(mount.type);
    entry->set_source(mount.source);
    entry->set_target(mount.target);
    for (const std::string& option : mount.options) entry->add_options(option);
  }
  request.set_terminal(task.stdio.terminal);
  request.set_stdin(task.stdio.stdin_path);
  request.set_stdout(task.stdio.stdout_path);
  request.set_stderr(task.stdio.stderr_path);
  request.set_checkpoint(task.checkpoint_path);
  if (!task.options.empty()) {
    request.mutable_options()->set_type_url(task.options.type_url);
    request.mutable_options()->set_value(task.options.value);
  }
  return request;
}

std::string ProcessRequest(std::string_view id, std::string_view exec_id) {
  task_v3::StateRequest request;
  request.set_id(std::string(id));
  request.set_exec_id(std::string(exec_id));
  return request.SerializeAsString();
}

absl::StatusOr<Exit> ParseDelete(const std::string& bytes) {
  ASSIGN_OR_RETURN(const auto answer, Parse<task_v3::DeleteResponse>(bytes));
  return Exit{.pid = answer.pid(), .status = answer.exit_status(), .at = ExitTime(answer)};
}

std::string EncodeDelete(const Exit& exit) {
  return base::WireWriter().Varint(1, exit.pid).Varint(2, exit.status).Time(3, exit.at).Take();
}

absl::StatusOr<Exit> ParseWait(const std::string& bytes) {
  ASSIGN_OR_RETURN(const auto answer, Parse<task_v3::WaitResponse>(bytes));
  return Exit{.pid = 0, .status = answer.exit_status(), .at = ExitTime(answer)};
}

}  // namespace ctrd::runtime
