// SPDX-License-Identifier: Apache-2.0
#include "ctr/task.h"

#include <csignal>
#include <cstring>

#include "ctr/signal_forwarder.h"
#include "ctr/transfer.h"
#include "runtime/spec/spec.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::tasks::v1;
namespace snapshots = containerd::services::snapshots::v1;
using containerd::v1::types::Process;

constexpr absl::Duration kDrainTimeout = absl::Seconds(10);

// The mounts of the container's snapshot, with the SELinux label that its specification asks for.
absl::StatusOr<google::protobuf::RepeatedPtrField<containerd::types::Mount>> RootMounts(
    const Client& client, const containerd::services::containers::v1::Container& container) {
  if (container.snapshotter().empty()) {
    return base::InvalidArgument(
        "unable to resolve rootfs mounts without snapshotter on container");
  }
  snapshots::MountsRequest request;
  request.set_snapshotter(container.snapshotter());
  request.set_key(container.snapshot_key());
  ASSIGN_OR_RETURN(auto response, client.Call(&snapshots::Snapshots::Stub::Mounts, request));
  ASSIGN_OR_RETURN(const auto spec, runtime::Spec::Parse(container.spec().value()));
  if (const std::string label = spec.MountLabel(); !label.empty()) {
    for (auto& mount : *response.mutable_mounts()) {
      mount.add_options(fmt::format("context=\"{}\"", label));
    }
  }
  return std::move(*response.mutable_mounts());
}

}  // namespace

PendingWait::PendingWait(const Client& client, const std::string& container_id,
                         const std::string& exec_id)
    : context_(client.NewContext()), stub_(client.channel()) {
  api::WaitRequest request;
  request.set_container_id(container_id);
  request.set_exec_id(exec_id);
  call_ = stub_.AsyncWait(context_.get(), request, &queue_);
  call_->Finish(&response_, &status_, this);
}

PendingWait::~PendingWait() {
  if (!finished_) {
    context_->TryCancel();
    (void)Finish();  // The queue must give the call back before it goes.
  }
  queue_.Shutdown();
}

absl::StatusOr<uint32_t> PendingWait::Finish() {
  void* tag = nullptr;
  bool ok = false;
  finished_ = true;
  if (!queue_.Next(&tag, &ok)) return base::Unknown("the call to wait was lost");
  if (!status_.ok()) return FromGrpc(status_);
  return response_.exit_status();
}

absl::StatusOr<uint32_t> CreateTask(
    const Client& client, const containerd::services::containers::v1::Container& container,
    const TaskIo& io, const containerd::runc::v1::Options* options,
    const containerd::types::Descriptor* checkpoint) {
  api::CreateTaskRequest request;
  request.set_container_id(container.id());
  request.set_stdin(io.paths().input);
  request.set_stdout(io.paths().output);
  request.set_stderr(io.paths().error);
  request.set_terminal(io.terminal());
  if (!container.snapshot_key().empty()) {
    ASSIGN_OR_RETURN(*request.mutable_rootfs(), RootMounts(client, container));
  }
  if (options != nullptr) *request.mutable_options() = PackBare(*options);
  if (checkpoint != nullptr) *request.mutable_checkpoint() = *checkpoint;
  ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::Create, request));
  return response.pid();
}

absl::StatusOr<Process> GetTask(const Client& client, const std::string& container_id) {
  api::GetRequest request;
  request.set_container_id(container_id);
  auto response = client.Call(&TasksStub::Get, request);
  if (response.ok()) return std::move(*response->mutable_process());
  return absl::IsNotFound(response.status())
             ? base::Annotate(response.status(), "no running task found")
             : response.status();
}

absl::StatusOr<uint32_t> StartProcess(const Client& client, const ProcessId& id) {
  api::StartRequest request;
  request.set_container_id(id.container_id);
  request.set_exec_id(id.exec_id);
  ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::Start, request));
  return response.pid();
}

absl::Status KillProcess(const Client& client, const ProcessId& id, uint32_t signal, bool all) {
  api::KillRequest request;
  request.set_container_id(id.container_id);
  request.set_exec_id(id.exec_id);
  request.set_signal(signal);
  request.set_all(all);
  return client.Call(&TasksStub::Kill, request).status();
}

absl::StatusOr<uint32_t> DeleteProcess(const Client& client, const ProcessId& id) {
  if (id.exec_id.empty()) {
    api::DeleteTaskRequest request;
    request.set_container_id(id.container_id);
    ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::Delete, request));
    return response.exit_status();
  }
  api::DeleteProcessRequest request;
  request.set_container_id(id.container_id);
  request.set_exec_id(id.exec_id);
  ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::DeleteProcess, request));
  return response.exit_status();
}

std::string StateName(containerd::v1::types::Status status) {
  std::string name = containerd::v1::types::Status_Name(status);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

absl::StatusOr<uint32_t> DeleteTask(const Client& client, const std::string& container_id,
                                    bool force) {
  ASSIGN_OR_RETURN(const Process task, GetTask(client, container_id));
  const bool ended = task.status() == containerd::v1::types::STOPPED ||
                     task.status() == containerd::v1::types::UNKNOWN || task.pid() == 0;
  if (!ended && !force) {
    return base::FailedPrecondition("task must be stopped before deletion: {}",
                                    StateName(task.status()));
  }
  if (!ended) {
    PendingWait wait(client, container_id, "");
    const absl::Status status = KillProcess(client, {container_id, ""}, SIGKILL, true);
    if (status.ok() || absl::IsNotFound(status)) {
      RETURN_IF_ERROR(wait.Finish().status());
    } else if (!absl::IsFailedPrecondition(status)) {
      return status;
    }
  }
  ASSIGN_OR_RETURN(const uint32_t code, DeleteProcess(client, {container_id, ""}));
  RemoveFifos({task.stdin(), task.stdout(), task.stderr()});
  return code;
}

absl::StatusOr<uint32_t> RunAttached(const Client& client, const ProcessId& id, TaskIo& io,
                                     bool start) {
  PendingWait wait(client, id.container_id, id.exec_id);
  io.StartOutput();
  if (start) RETURN_IF_ERROR(StartProcess(client, id).status());
  // Only now, when the runtime holds its end: an end of input that came earlier could not be told.
  io.StartInput([&client, id] {
    api::CloseIORequest request;
    request.set_container_id(id.container_id);
    request.set_exec_id(id.exec_id);
    request.set_stdin(true);
    (void)client.Call(&TasksStub::CloseIO, request);  // The process may be gone: fine.
  });
  absl::StatusOr<uint32_t> code;
  {
    SignalForwarder forwarder(client, id, io.terminal());
    code = wait.Finish();
  }
  io.Drain(kDrainTimeout);
  return code;
}

absl::StatusOr<uint32_t> ParseSignal(const std::string& text) {
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos) {
    const int64_t number = std::strtoll(text.c_str(), nullptr, 10);
    if (number > 0 && number < NSIG) return static_cast<uint32_t>(number);
    return base::Unknown("invalid signal: {}", text);
  }
  std::string name = text;
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int number = 1; number < NSIG; ++number) {
    const char* known = ::sigabbrev_np(number);
    if (known != nullptr && name == known) return static_cast<uint32_t>(number);
  }
  return base::Unknown("invalid signal: {}", text);
}

}  // namespace ctrd::ctr
