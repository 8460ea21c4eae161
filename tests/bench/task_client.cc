// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/task_client.h"

#include <thread>

#include "base/status.h"
#include "runtime/spec/spec.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::bench {
namespace {

namespace containers = containerd::services::containers::v1;
namespace snapshots = containerd::services::snapshots::v1;
namespace tasks = containerd::services::tasks::v1;

constexpr char kSnapshotter[] = "overlayfs";
constexpr auto kPause = std::chrono::milliseconds(20);  // Between attempts.

runtime::Spec MakeSpec(const ClientOptions& options, const std::string& id,
                       const std::vector<std::string>& arguments) {
  runtime::Spec spec = runtime::Spec::Default(options.namespace_name, id);
  spec.AllowDefaultDevices();
  spec.MergeEnvironment({std::string(runtime::kDefaultPath)});
  spec.SetArguments(arguments);
  return spec;
}

absl::Status OrGone(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace

TaskClient::TaskClient(ClientOptions options) : options_(std::move(options)) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  const auto channel = grpc::CreateCustomChannel("unix:" + options_.address,
                                                 grpc::InsecureChannelCredentials(), arguments);
  containers_ = containers::Containers::NewStub(channel);
  snapshots_ = snapshots::Snapshots::NewStub(channel);
  tasks_ = tasks::Tasks::NewStub(channel);
}

template <typename Stub, typename Request, typename Response>
absl::Status TaskClient::Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request, Response& response) {
  grpc::ClientContext context;
  context.AddMetadata("containerd-namespace", options_.namespace_name);
  context.set_deadline(std::chrono::system_clock::now() + options_.timeout);
  const grpc::Status status = (stub.*method)(&context, request, &response);
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      base::ToAbsl(status.error_message()));
}

absl::Status TaskClient::CreateContainer(const std::string& id,
                                         const std::vector<std::string>& arguments) {
  snapshots::PrepareSnapshotRequest prepare;
  prepare.set_snapshotter(kSnapshotter);
  prepare.set_key(id);
  prepare.set_parent(options_.parent);
  // Until the record names it, the collector must be told to leave it alone.
  (*prepare.mutable_labels())["containerd.io/gc.root"] = "1";
  snapshots::PrepareSnapshotResponse prepared;
  RETURN_IF_ERROR(Call(*snapshots_, &snapshots::Snapshots::Stub::Prepare, prepare, prepared));

  containers::CreateContainerRequest create;
  auto* container = create.mutable_container();
  container->set_id(id);
  container->set_snapshotter(kSnapshotter);
  container->set_snapshot_key(id);
  container->mutable_runtime()->set_name(options_.runtime);
  container->mutable_spec()->set_type_url(std::string(runtime::kSpecTypeUrl));
  container->mutable_spec()->set_value(MakeSpec(options_, id, arguments).ToJson());
  if (!options_.oci_runtime.empty()) {
    containerd::runc::v1::Options runc;
    runc.set_binary_name(options_.oci_runtime);
    container->mutable_runtime()->mutable_options()->set_type_url("containerd.runc.v1.Options");
    container->mutable_runtime()->mutable_options()->set_value(runc.SerializeAsString());
  }
  containers::CreateContainerResponse created;
  return Call(*containers_, &containers::Containers::Stub::Create, create, created);
}

absl::Status TaskClient::DeleteContainer(const std::string& id) {
  google::protobuf::Empty nothing;
  containers::DeleteContainerRequest remove;
  remove.set_id(id);
  RETURN_IF_ERROR(
      OrGone(Call(*containers_, &containers::Containers::Stub::Delete, remove, nothing)));
  snapshots::RemoveSnapshotRequest snapshot;
  snapshot.set_snapshotter(kSnapshotter);
  snapshot.set_key(id);
  return OrGone(Call(*snapshots_, &snapshots::Snapshots::Stub::Remove, snapshot, nothing));
}

absl::Status TaskClient::Create(const std::string& id) {
  snapshots::MountsRequest mounts;
  mounts.set_snapshotter(kSnapshotter);
  mounts.set_key(id);
  snapshots::MountsResponse found;
  RETURN_IF_ERROR(Call(*snapshots_, &snapshots::Snapshots::Stub::Mounts, mounts, found));
  tasks::CreateTaskRequest request;
  request.set_container_id(id);
  *request.mutable_rootfs() = found.mounts();
  tasks::CreateTaskResponse response;
  return Call(*tasks_, &tasks::Tasks::Stub::Create, request, response);
}

absl::Status TaskClient::Start(const std::string& id, const std::string& exec_id) {
  tasks::StartRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  tasks::StartResponse response;
  return Call(*tasks_, &tasks::Tasks::Stub::Start, request, response);
}

absl::Status TaskClient::Exec(const std::string& id, const std::string& exec_id,
                              const std::vector<std::string>& arguments) {
  tasks::ExecProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  request.mutable_spec()->set_type_url(std::string(runtime::kProcessTypeUrl));
  request.mutable_spec()->set_value(MakeSpec(options_, id, arguments)
                                        .ExecProcessJson({.arguments = arguments,
                                                          .terminal = false,
                                                          .working_directory = "",
                                                          .user = std::nullopt}));
  google::protobuf::Empty nothing;
  return Call(*tasks_, &tasks::Tasks::Stub::Exec, request, nothing);
}

absl::StatusOr<uint32_t> TaskClient::Wait(const std::string& id, const std::string& exec_id) {
  tasks::WaitRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  tasks::WaitResponse response;
  RETURN_IF_ERROR(Call(*tasks_, &tasks::Tasks::Stub::Wait, request, response));
  return response.exit_status();
}

absl::Status TaskClient::Kill(const std::string& id, uint32_t signal) {
  tasks::KillRequest request;
  request.set_container_id(id);
  request.set_signal(signal);
  google::protobuf::Empty nothing;
  return Call(*tasks_, &tasks::Tasks::Stub::Kill, request, nothing);
}

absl::StatusOr<uint32_t> TaskClient::Delete(const std::string& id) {
  tasks::DeleteTaskRequest request;
  request.set_container_id(id);
  tasks::DeleteResponse response;
  RETURN_IF_ERROR(Call(*tasks_, &tasks::Tasks::Stub::Delete, request, response));
  return response.exit_status();
}

absl::Status TaskClient::DeleteProcess(const std::string& id, const std::string& exec_id) {
  tasks::DeleteProcessRequest request;
  request.set_container_id(id);
  request.set_exec_id(exec_id);
  tasks::DeleteResponse response;
  return Call(*tasks_, &tasks::Tasks::Stub::DeleteProcess, request, response);
}

absl::StatusOr<int> TaskClient::CountRunning() {
  tasks::ListTasksResponse response;
  RETURN_IF_ERROR(Call(*tasks_, &tasks::Tasks::Stub::List, tasks::ListTasksRequest(), response));
  int running = 0;
  for (const auto& task : response.tasks())
    running += task.status() == containerd::v1::types::RUNNING;
  return running;
}

bool TaskClient::Answers() {
  tasks::GetRequest request;
  request.set_container_id("nobody");
  tasks::GetResponse response;
  return absl::IsNotFound(Call(*tasks_, &tasks::Tasks::Stub::Get, request, response));
}

absl::Status TaskClient::RemoveOnce(const std::string& id) {
  (void)Kill(id);  // It may have ended.
  RETURN_IF_ERROR(OrGone(Delete(id).status()));
  return DeleteContainer(id);
}

absl::Status TaskClient::Remove(const std::string& id,
                                std::chrono::steady_clock::time_point give_up) {
  while (true) {
    const absl::Status status = RemoveOnce(id);
    if (status.ok() || std::chrono::steady_clock::now() > give_up) return status;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace ctrd::bench
