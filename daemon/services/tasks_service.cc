// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/tasks_service.h"

#include <utility>

#include "base/filter.h"
#include "base/identifiers.h"
#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "daemon/services/task_checkpoint.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::services {
namespace {

using containerd::v1::types::Process;

containerd::v1::types::Status StatusOf(runtime::TaskState state) {
  switch (state) {
    case runtime::TaskState::kCreated:
      return containerd::v1::types::CREATED;
    case runtime::TaskState::kRunning:
      return containerd::v1::types::RUNNING;
    case runtime::TaskState::kStopped:
      return containerd::v1::types::STOPPED;
    case runtime::TaskState::kPaused:
      return containerd::v1::types::PAUSED;
    case runtime::TaskState::kPausing:
      return containerd::v1::types::PAUSING;
    case runtime::TaskState::kUnknown:
      break;
  }
  return containerd::v1::types::UNKNOWN;
}

// `container_id` stays empty: clients know a task by its `id`.
void ToProto(const runtime::ProcessState& state, Process* process) {
  process->set_id(state.id);
  process->set_pid(state.pid);
  process->set_status(StatusOf(state.state));
  process->set_stdin(state.stdio.stdin_path);
  process->set_stdout(state.stdio.stdout_path);
  process->set_stderr(state.stdio.stderr_path);
  process->set_terminal(state.stdio.terminal);
  process->set_exit_status(state.exit.status);
  services::ToProto(state.exit.at, process->mutable_exited_at());
}

void ToProto(const runtime::Exit& exit, tasks_v1::DeleteResponse* response) {
  response->set_pid(exit.pid);
  response->set_exit_status(exit.status);
  services::ToProto(exit.at, response->mutable_exited_at());
}

template <typename Request>
runtime::Stdio StdioOf(const Request& request) {
  return {.stdin_path = request.stdin(),
          .stdout_path = request.stdout(),
          .stderr_path = request.stderr(),
          .terminal = request.terminal()};
}

std::string_view MessageName(std::string_view type_url) {
  const size_t slash = type_url.rfind('/');
  return slash == type_url.npos ? type_url : type_url.substr(slash + 1);
}

// The options of a request must be those of runc, whatever the runtime is.
template <typename Message>
absl::StatusOr<Message> RuncOptions(const google::protobuf::Any& any, std::string_view what,
                                    std::string_view runtime) {
  Message message;
  const std::string_view name = MessageName(any.type_url());
  if (name != Message::descriptor()->full_name()) {
    const bool known = name.starts_with("containerd.") || name.starts_with("runtimeoptions.");
    if (!known) return base::Unknown("type with url {}: not found", any.type_url());
    return base::Unknown("invalid task {} option for {}", what, runtime);
  }
  if (!message.ParseFromString(any.value())) {
    return base::Unknown("invalid task {} option for {}", what, runtime);
  }
  return message;
}

// Waits for the exit of a process. Deleted by gRPC's OnDone, which comes after the handler that
// made it has returned.
class WaitReactor final : public grpc::ServerUnaryReactor {
 public:
  explicit WaitReactor(tasks_v1::WaitResponse* response) : response_(response) {}

  void Start(runtime::TaskRuntime& runtime, const base::Context& context,
             const tasks_v1::WaitRequest& request) {
    pending_ = runtime.Wait(context, request.container_id(), request.exec_id(),
                            [this](absl::StatusOr<runtime::Exit> exit) { Done(std::move(exit)); });
  }

  void End(const grpc::Status& status) {
    const std::scoped_lock lock(mutex_);
    if (!std::exchange(finished_, true)) Finish(status);
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  void Done(absl::StatusOr<runtime::Exit> exit) {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(finished_, true)) return;
    if (exit.ok()) {
      response_->set_exit_status(exit->status);
      services::ToProto(exit->at, response_->mutable_exited_at());
    }
    Finish(server::ToGrpc(exit.status()));
  }

  tasks_v1::WaitResponse* const response_;
  std::mutex mutex_;
  bool finished_ = false;
  // Last: goes first, and with it the last call of Done.
  std::unique_ptr<runtime::TaskRuntime::PendingWait> pending_;
};

}  // namespace

absl::StatusOr<TaskContainer> TasksService::Find(const base::Context& context,
                                                 const std::string& id) const {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  return find_container_(context, id);
}

grpc::Status TasksService::ServeTask(
    grpc::ServerContext* rpc, std::string_view method, const std::string& id,
    const std::function<absl::Status(const base::Context&)>& fn) const {
  return server::Serve(rpc, method, [&](const base::Context& context) -> absl::Status {
    RETURN_IF_ERROR(Find(context, id).status());
    return fn(context);
  });
}

void TasksService::DropCheckpoint(const base::Context& context, const std::string& id) {
  std::unique_lock lock(mutex_);
  const auto files = restoring_.extract({context.namespace_name(), id});
  lock.unlock();  // What was taken out is removed from disk after this.
}

grpc::Status TasksService::Create(grpc::ServerContext* rpc,
                                  const tasks_v1::CreateTaskRequest* request,
                                  tasks_v1::CreateTaskResponse* response) {
  return server::Serve(rpc, "tasks.Create", [&](const base::Context& context) -> absl::Status {
    ASSIGN_OR_RETURN(TaskContainer container, Find(context, request->container_id()));
    const std::string& runtime =
        request->runtime_path().empty() ? container.runtime_name : request->runtime_path();
    runtime::CreateTask task{.id = request->container_id(),
                             .runtime = runtime,
                             .spec = std::move(container.spec),
                             .options = std::move(container.runtime_options),
                             .rootfs = FromProto(request->rootfs()),
                             .stdio = StdioOf(*request),
                             .sandbox = std::move(container.sandbox),
                             .task_api_address = request->task_api_address(),
                             .task_api_version = request->task_api_version()};
    if (request->has_options()) {
      ASSIGN_OR_RETURN(const auto options, RuncOptions<containerd::runc::v1::Options>(
                                               request->options(), "create", runtime));
      task.options = FromProto(request->options());
      task.checkpoint_path = options.criu_image_path();
      if (task.task_api_address.empty()) task.task_api_address = options.task_api_address();
      if (task.task_api_version == 0) task.task_api_version = options.task_api_version();
    }
    runtime::AimAtSandbox(context, sandboxes_, task);
    UnpackedCheckpoint checkpoint;
    const std::string restore_path =
        request->has_checkpoint() ? RestorePathOf(FromProto(request->checkpoint())) : "";
    if (!restore_path.empty()) {
      task.checkpoint_path = restore_path;
    } else if (task.checkpoint_path.empty() && request->has_checkpoint()) {
      ASSIGN_OR_RETURN(checkpoint,
                       UnpackCheckpoint(context, content_, FromProto(request->checkpoint())));
      task.checkpoint_path = checkpoint.path();
    }
    ASSIGN_OR_RETURN(uint32_t pid, runtime_.Create(context, task));
    if (!restore_path.empty()) {
      ASSIGN_OR_RETURN(pid, Restore(context, task));
    }
    if (!checkpoint.path().empty()) {
      const std::scoped_lock lock(mutex_);
      restoring_[{context.namespace_name(), task.id}] = std::move(checkpoint);
    }
    response->set_container_id(request->container_id());
    response->set_pid(pid);
    return absl::OkStatus();
  });
}

// A task that is restored from a directory is started by its Create.
absl::StatusOr<uint32_t> TasksService::Restore(const base::Context& context,
                                               const runtime::CreateTask& task) {
  absl::Status status;
  if (const auto rootfs = runtime_.RootfsPath(context, task.id); rootfs.ok()) {
    status = ApplyRootfsDiff(context, task.checkpoint_path, *rootfs);
  } else {
    status = rootfs.status();
  }
  auto pid = status.ok() ? runtime_.Start(context, task.id, "") : absl::StatusOr<uint32_t>(status);
  // The Create failed: nothing of it stays. The first error is the one to tell.
  if (!pid.ok()) (void)runtime_.Delete(context.Detached(), task.id);
  return pid;
}

grpc::Status TasksService::Start(grpc::ServerContext* rpc, const tasks_v1::StartRequest* request,
                                 tasks_v1::StartResponse* response) {
  return ServeTask(rpc, "tasks.Start", request->container_id(),
                   [&](const base::Context& context) -> absl::Status {
                     ASSIGN_OR_RETURN(
                         const uint32_t pid,
                         runtime_.Start(context, request->container_id(), request->exec_id()));
                     response->set_pid(pid);
                     if (request->exec_id().empty())
                       DropCheckpoint(context, request->container_id());
                     return absl::OkStatus();
                   });
}

grpc::Status TasksService::Delete(grpc::ServerContext* rpc,
                                  const tasks_v1::DeleteTaskRequest* request,
                                  tasks_v1::DeleteResponse* response) {
  return ServeTask(rpc, "tasks.Delete", request->container_id(),
                   [&](const base::Context& context) -> absl::Status {
                     ASSIGN_OR_RETURN(const runtime::Exit exit,
                                      runtime_.Delete(context, request->container_id()));
                     DropCheckpoint(context, request->container_id());
                     ToProto(exit, response);
                     return absl::OkStatus();
                   });
}

grpc::Status TasksService::DeleteProcess(grpc::ServerContext* rpc,
                                         const tasks_v1::DeleteProcessRequest* request,
                                         tasks_v1::DeleteResponse* response) {
  return ServeTask(rpc, "tasks.DeleteProcess", request->container_id(),
                   [&](const base::Context& context) -> absl::Status {
                     ASSIGN_OR_RETURN(const runtime::Exit exit,
                                      runtime_.DeleteProcess(context, request->container_id(),
                                                             request->exec_id()));
                     response->set_id(request->exec_id());
                     ToProto(exit, response);
                     return absl::OkStatus();
                   });
}

grpc::Status TasksService::Get(grpc::ServerContext* rpc, const tasks_v1::GetRequest* request,
                               tasks_v1::GetResponse* response) {
  return ServeTask(
      rpc, "tasks.Get", request->container_id(), [&](const base::Context& context) -> absl::Status {
        ASSIGN_OR_RETURN(const runtime::ProcessState state,
                         runtime_.State(context, request->container_id(), request->exec_id()));
        ToProto(state, response->mutable_process());
        return absl::OkStatus();
      });
}

grpc::Status TasksService::List(grpc::ServerContext* rpc, const tasks_v1::ListTasksRequest*,
                                tasks_v1::ListTasksResponse* response) {
  return server::Serve(rpc, "tasks.List", [&](const base::Context& context) -> absl::Status {
    RETURN_IF_ERROR(base::RequireNamespace(context));
    ASSIGN_OR_RETURN(const auto states, runtime_.List(context));
    for (const auto& state : states) ToProto(state, response->add_tasks());
    return absl::OkStatus();
  });
}

grpc::Status TasksService::Kill(grpc::ServerContext* rpc, const tasks_v1::KillRequest* request,
                                google::protobuf::Empty*) {
  return ServeTask(rpc, "tasks.Kill", request->container_id(), [&](const base::Context& context) {
    return runtime_.Kill(context, request->container_id(), request->exec_id(), request->signal(),
                         request->all());
  });
}

grpc::Status TasksService::Exec(grpc::ServerContext* rpc,
                                const tasks_v1::ExecProcessRequest* request,
                                google::protobuf::Empty*) {
  return server::Serve(rpc, "tasks.Exec", [&](const base::Context& context) -> absl::Status {
    const std::string& exec_id = request->exec_id();
    if (exec_id.empty()) return absl::InvalidArgumentError("exec id cannot be empty");
    RETURN_IF_ERROR(Find(context, request->container_id()).status());
    RETURN_IF_ERROR(base::Annotate(base::ValidateIdentifier(exec_id),
                                   fmt::format("invalid exec id {}", exec_id)));
    return runtime_.Exec(
        context, request->container_id(),
        {.exec_id = exec_id, .stdio = StdioOf(*request), .spec = FromProto(request->spec())});
  });
}

grpc::Status TasksService::ResizePty(grpc::ServerContext* rpc,
                                     const tasks_v1::ResizePtyRequest* request,
                                     google::protobuf::Empty*) {
  return ServeTask(rpc, "tasks.ResizePty", request->container_id(),
                   [&](const base::Context& context) {
                     return runtime_.ResizePty(context, request->container_id(), request->exec_id(),
                                               request->width(), request->height());
                   });
}

grpc::Status TasksService::CloseIO(grpc::ServerContext* rpc,
                                   const tasks_v1::CloseIORequest* request,
                                   google::protobuf::Empty*) {
  return ServeTask(rpc, "tasks.CloseIO", request->container_id(),
                   [&](const base::Context& context) {
                     return runtime_.CloseIo(context, request->container_id(), request->exec_id(),
                                             request->stdin());
                   });
}

grpc::Status TasksService::Pause(grpc::ServerContext* rpc,
                                 const tasks_v1::PauseTaskRequest* request,
                                 google::protobuf::Empty*) {
  return ServeTask(rpc, "tasks.Pause", request->container_id(), [&](const base::Context& context) {
    return runtime_.Pause(context, request->container_id());
  });
}

grpc::Status TasksService::Resume(grpc::ServerContext* rpc,
                                  const tasks_v1::ResumeTaskRequest* request,
                                  google::protobuf::Empty*) {
  return ServeTask(rpc, "tasks.Resume", request->container_id(), [&](const base::Context& context) {
    return runtime_.Resume(context, request->container_id());
  });
}

grpc::Status TasksService::ListPids(grpc::ServerContext* rpc,
                                    const tasks_v1::ListPidsRequest* request,
                                    tasks_v1::ListPidsResponse* response) {
  return ServeTask(rpc, "tasks.ListPids", request->container_id(),
                   [&](const base::Context& context) -> absl::Status {
                     ASSIGN_OR_RETURN(const auto processes,
                                      runtime_.Pids(context, request->container_id()));
                     for (const auto& process : processes) {
                       auto* entry = response->add_processes();
                       entry->set_pid(process.pid);
                       if (!process.info.empty()) ToProto(process.info, entry->mutable_info());
                     }
                     return absl::OkStatus();
                   });
}

grpc::Status TasksService::Checkpoint(grpc::ServerContext* rpc,
                                      const tasks_v1::CheckpointTaskRequest* request,
                                      tasks_v1::CheckpointTaskResponse* response) {
  return server::Serve(rpc, "tasks.Checkpoint", [&](const base::Context& context) -> absl::Status {
    ASSIGN_OR_RETURN(const TaskContainer container, Find(context, request->container_id()));
    std::string path;
    if (request->has_options()) {
      ASSIGN_OR_RETURN(const auto options,
                       RuncOptions<containerd::runc::v1::CheckpointOptions>(
                           request->options(), "checkpoint", container.runtime_name));
      path = options.image_path();
    }
    const auto dump = [&](const std::string& directory) {
      return runtime_.Checkpoint(context, request->container_id(), directory,
                                 FromProto(request->options()));
    };
    if (!path.empty()) return dump(path);
    ASSIGN_OR_RETURN(const auto descriptors,
                     StoreCheckpoint(context, content_, container.spec, dump));
    for (const auto& descriptor : descriptors) ToProto(descriptor, response->add_descriptors());
    return absl::OkStatus();
  });
}

grpc::Status TasksService::Update(grpc::ServerContext* rpc,
                                  const tasks_v1::UpdateTaskRequest* request,
                                  google::protobuf::Empty*) {
  return ServeTask(rpc, "tasks.Update", request->container_id(),
                   [&](const base::Context& context) -> absl::Status {
                     if (!request->has_resources()) return Missing("resources");
                     return runtime_.Update(context, request->container_id(),
                                            FromProto(request->resources()),
                                            FromProto(request->annotations()));
                   });
}

grpc::Status TasksService::Metrics(grpc::ServerContext* rpc,
                                   const tasks_v1::MetricsRequest* request,
                                   tasks_v1::MetricsResponse* response) {
  return server::Serve(rpc, "tasks.Metrics", [&](const base::Context& context) -> absl::Status {
    RETURN_IF_ERROR(base::RequireNamespace(context));
    const auto filter = ParseFilters(request->filters());
    if (!filter.ok()) return base::WithCode(filter.status(), absl::StatusCode::kUnknown);
    const auto wanted = [&](std::string_view id) {
      return filter->Matches([&](const base::FieldPath& path) -> std::optional<std::string> {
        if (path == base::FieldPath{"id"}) return std::string(id);
        if (path == base::FieldPath{"namespace"}) return context.namespace_name();
        return std::nullopt;
      });
    };
    ASSIGN_OR_RETURN(const auto statistics, runtime_.Statistics(context, wanted));
    for (const auto& entry : statistics) {
      auto* metric = response->add_metrics();
      ToProto(entry.timestamp, metric->mutable_timestamp());
      metric->set_id(entry.id);
      ToProto(entry.data, metric->mutable_data());
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* TasksService::Wait(grpc::CallbackServerContext* rpc,
                                             const tasks_v1::WaitRequest* request,
                                             tasks_v1::WaitResponse* response) {
  auto* reactor = new WaitReactor(response);
  const base::Context context = server::ContextOf(*rpc);
  if (const auto container = Find(context, request->container_id()); !container.ok()) {
    reactor->End(server::ToGrpc(container.status()));
  } else {
    reactor->Start(runtime_, context, *request);
  }
  return reactor;
}

}  // namespace ctrd::services
