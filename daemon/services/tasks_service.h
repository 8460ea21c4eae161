// SPDX-License-Identifier: Apache-2.0

// containerd.services.tasks.v1.Tasks: finds the container of a call, hands the rest to the task
// runtime. A Wait costs no thread.
// Source document: docs/api/tasks.md.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "base/any.h"
#include "base/context.h"
#include "daemon/services/task_checkpoint.h"
#include "images/content/content_store.h"
#include "runtime/sandbox_runtime.h"
#include "runtime/task_runtime.h"
#include "services/tasks/v1/tasks.grpc.pb.h"

namespace ctrd::services {

namespace tasks_v1 = containerd::services::tasks::v1;

// What tasks need of a container's record.
struct TaskContainer {
  std::string runtime_name;
  base::Any runtime_options;
  base::Any spec;
  std::string snapshotter;
  std::string snapshot_key;
  std::string sandbox;
};

//   kNotFound  `container "<id>" in namespace "<ns>": not found`
using ContainerLookup =
    std::function<absl::StatusOr<TaskContainer>(const base::Context& context, std::string_view id)>;

class TasksService final
    : public tasks_v1::Tasks::WithCallbackMethod_Wait<tasks_v1::Tasks::Service> {
 public:
  // `content` holds checkpoints; with none of it they need a path.
  // `sandboxes` knows where tasks of sandboxes go; with none of it they get shims of their own.
  TasksService(runtime::TaskRuntime& runtime, ContainerLookup find_container,
               content::ContentStore* content, runtime::SandboxRuntime* sandboxes = nullptr)
      : runtime_(runtime),
        find_container_(std::move(find_container)),
        content_(content),
        sandboxes_(sandboxes) {}

  grpc::Status Create(grpc::ServerContext* rpc, const tasks_v1::CreateTaskRequest* request,
                      tasks_v1::CreateTaskResponse* response) override;
  grpc::Status Start(grpc::ServerContext* rpc, const tasks_v1::StartRequest* request,
                     tasks_v1::StartResponse* response) override;
  grpc::Status Delete(grpc::ServerContext* rpc, const tasks_v1::DeleteTaskRequest* request,
                      tasks_v1::DeleteResponse* response) override;
  grpc::Status DeleteProcess(grpc::ServerContext* rpc,
                             const tasks_v1::DeleteProcessRequest* request,
                             tasks_v1::DeleteResponse* response) override;
  grpc::Status Get(grpc::ServerContext* rpc, const tasks_v1::GetRequest* request,
                   tasks_v1::GetResponse* response) override;
  grpc::Status List(grpc::ServerContext* rpc, const tasks_v1::ListTasksRequest* request,
                    tasks_v1::ListTasksResponse* response) override;
  grpc::Status Kill(grpc::ServerContext* rpc, const tasks_v1::KillRequest* request,
                    google::protobuf::Empty* response) override;
  grpc::Status Exec(grpc::ServerContext* rpc, const tasks_v1::ExecProcessRequest* request,
                    google::protobuf::Empty* response) override;
  grpc::Status ResizePty(grpc::ServerContext* rpc, const tasks_v1::ResizePtyRequest* request,
                         google::protobuf::Empty* response) override;
  grpc::Status CloseIO(grpc::ServerContext* rpc, const tasks_v1::CloseIORequest* request,
                       google::protobuf::Empty* response) override;
  grpc::Status Pause(grpc::ServerContext* rpc, const tasks_v1::PauseTaskRequest* request,
                     google::protobuf::Empty* response) override;
  grpc::Status Resume(grpc::ServerContext* rpc, const tasks_v1::ResumeTaskRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status ListPids(grpc::ServerContext* rpc, const tasks_v1::ListPidsRequest* request,
                        tasks_v1::ListPidsResponse* response) override;
  grpc::Status Checkpoint(grpc::ServerContext* rpc, const tasks_v1::CheckpointTaskRequest* request,
                          tasks_v1::CheckpointTaskResponse* response) override;
  grpc::Status Update(grpc::ServerContext* rpc, const tasks_v1::UpdateTaskRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status Metrics(grpc::ServerContext* rpc, const tasks_v1::MetricsRequest* request,
                       tasks_v1::MetricsResponse* response) override;
  grpc::ServerUnaryReactor* Wait(grpc::CallbackServerContext* rpc,
                                 const tasks_v1::WaitRequest* request,
                                 tasks_v1::WaitResponse* response) override;

 private:
  // The container, after the namespace.
  absl::StatusOr<TaskContainer> Find(const base::Context& context, const std::string& id) const;
  // Serve, for a call on the task of a container that must exist.
  grpc::Status ServeTask(grpc::ServerContext* rpc, std::string_view method, const std::string& id,
                         const std::function<absl::Status(const base::Context&)>& fn) const;

  absl::StatusOr<uint32_t> Restore(const base::Context& context, const runtime::CreateTask& task);
  void DropCheckpoint(const base::Context& context, const std::string& id);

  runtime::TaskRuntime& runtime_;
  const ContainerLookup find_container_;
  content::ContentStore* const content_;
  runtime::SandboxRuntime* const sandboxes_;
  // Restoring reads the files when the task is started: they stay until then.
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, UnpackedCheckpoint> restoring_;
};

}  // namespace ctrd::services
