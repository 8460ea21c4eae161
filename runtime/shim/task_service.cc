// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/task_service.h"

#include <malloc.h>
#include <unistd.h>

#include "base/status.h"
#include "runtime/shim/proto_time.h"
#include "runtime/task/v3/shim.pb.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::runtime::shim {
namespace {

namespace task = ::containerd::task::v3;
using ttrpc::Responder;
using ttrpc::Response;

// Answers of methods that return nothing.
Response Empty(const absl::Status& status) {
  if (!status.ok()) return status;
  return std::string();
}

::containerd::v1::types::Status ToProto(State state) {
  switch (state) {
    case State::kCreated:
    case State::kRestorable:
      return ::containerd::v1::types::CREATED;
    case State::kRunning:
      return ::containerd::v1::types::RUNNING;
    case State::kPausing:
      return ::containerd::v1::types::PAUSING;
    case State::kPaused:
      return ::containerd::v1::types::PAUSED;
    case State::kStopped:
    case State::kDeleted:
      return ::containerd::v1::types::STOPPED;
  }
  return ::containerd::v1::types::UNKNOWN;
}

base::Any FromProto(const google::protobuf::Any& any) {
  return {.type_url = any.type_url(), .value = any.value()};
}

ContainerRequest FromProto(const task::CreateTaskRequest& request) {
  ContainerRequest result{.id = request.id(),
                          .bundle = request.bundle(),
                          .stdio = {.stdin_path = request.stdin(),
                                    .stdout_path = request.stdout(),
                                    .stderr_path = request.stderr(),
                                    .terminal = request.terminal()},
                          .checkpoint = request.checkpoint(),
                          .parent_checkpoint = request.parent_checkpoint(),
                          .options = FromProto(request.options())};
  for (const auto& mount : request.rootfs()) {
    result.rootfs.push_back({.type = mount.type(),
                             .source = mount.source(),
                             .target = mount.target(),
                             .options = {mount.options().begin(), mount.options().end()}});
  }
  return result;
}

// A method that takes Request: what does not decode is answered here.
template <typename Request, typename Function>
ttrpc::Handler Method(Function function) {
  return [function](const ttrpc::Call& call, Responder responder) {
    Request request;
    if (!request.ParseFromString(call.payload)) {
      return responder.Reply(absl::InternalError(
          "ttrpc: error unmarshalling payload: proto: cannot parse invalid wire-format data"));
    }
    function(std::move(request), std::move(responder));
  };
}

}  // namespace

// The methods. Those on a container that exists all have one shape.
struct TaskMethods {
  using Self = TaskService*;
  using Ptr = Container::Ptr;

  template <typename Request, typename Result>
  static ttrpc::Handler On(Self self, Result (*method)(Self, Ptr, Request, Responder)) {
    return Method<Request>([self, method](Request request, Responder responder) {
      absl::StatusOr<Ptr> container = self->Find(request.id());
      if (!container.ok()) return responder.Reply(container.status());
      method(self, *std::move(container), std::move(request), std::move(responder));
    });
  }

  static Detached Create(Self self, task::CreateTaskRequest request, Responder responder) {
    const std::string id = request.id();
    if (self->containers_.contains(id) || !self->creating_.insert(id).second) {
      responder.Reply(base::AlreadyExists("task {}", id));
      co_return;
    }
    const absl::StatusOr<RuncOptions> options = DecodeRuncOptions(FromProto(request.options()));
    absl::Status status = options.status();
    Ptr container;
    if (status.ok()) {
      container = std::make_shared<Container>(self->shim_, FromProto(request), *options);
      status = co_await Container::Create(container);
    }
    self->creating_.erase(id);
    ::malloc_trim(0);  // The documents read for it are not needed again.
    if (!status.ok()) {
      responder.Reply(status);
      co_return;
    }
    self->containers_[id] = container;
    task::CreateTaskResponse response;
    response.set_pid((*container->Find(""))->pid);
    responder.Reply(response.SerializeAsString());
  }

  static void Connect(Self self, task::ConnectRequest request, Responder responder) {
    task::ConnectResponse response;
    response.set_shim_pid(static_cast<uint32_t>(::getpid()));
    if (const auto container = self->Find(request.id()); container.ok()) {
      response.set_task_pid((*(*container)->Find(""))->pid);
    }
    responder.Reply(response.SerializeAsString());
  }

  static void Shutdown(Self self, task::ShutdownRequest, Responder responder) {
    responder.Reply(std::string());
    if (!self->containers_.empty() || !self->creating_.empty() || !self->shutdown_) return;
    std::exchange(self->shutdown_, nullptr)();
  }

  static Detached Start(Self, Ptr container, task::StartRequest request, Responder responder) {
    const absl::StatusOr<uint32_t> pid = co_await Container::Start(container, request.exec_id());
    task::StartResponse response;
    if (pid.ok()) response.set_pid(*pid);
    responder.Reply(pid.ok() ? Response(response.SerializeAsString()) : pid.status());
  }

  static Detached Delete(Self self, Ptr container, task::DeleteRequest request,
                         Responder responder) {
    const absl::StatusOr<ExitRecord> exit =
        co_await Container::Delete(container, request.exec_id());
    if (exit.ok() && request.exec_id().empty()) self->containers_.erase(container->id());
    responder.Reply(exit.ok() ? Response(EncodeExit(*exit)) : exit.status());
  }

  static Detached Pids(Self, Ptr container, task::PidsRequest, Responder responder) {
    const auto pids = co_await Container::Pids(container);
    if (!pids.ok()) {
      responder.Reply(pids.status());
      co_return;
    }
    task::PidsResponse response;
    for (const auto& [pid, exec_id] : *pids) {
      auto* process = response.add_processes();
      process->set_pid(static_cast<uint32_t>(pid));
      if (exec_id.empty()) continue;
      ::containerd::runc::v1::ProcessDetails details;
      details.set_exec_id(exec_id);
      process->mutable_info()->set_type_url(details.GetTypeName());
      process->mutable_info()->set_value(details.SerializeAsString());
    }
    responder.Reply(response.SerializeAsString());
  }

  static Detached Kill(Self, Ptr container, task::KillRequest request, Responder responder) {
    const absl::Status status =
        co_await Container::Kill(container, request.exec_id(), request.signal(), request.all());
    responder.Reply(Empty(status));
  }

  static Detached Pause(Self, Ptr container, task::PauseRequest, Responder responder) {
    const absl::Status status = co_await Container::Pause(container);
    responder.Reply(Empty(status));
  }

  static Detached Resume(Self, Ptr container, task::ResumeRequest, Responder responder) {
    const absl::Status status = co_await Container::Resume(container);
    responder.Reply(Empty(status));
  }

  static Detached Update(Self, Ptr container, task::UpdateTaskRequest request,
                         Responder responder) {
    absl::Status status = base::InvalidArgument("resources must be given");
    if (!request.resources().value().empty()) {
      status = co_await Container::Update(container, request.resources().value());
    }
    responder.Reply(Empty(status));
  }

  static Detached Checkpoint(Self, Ptr container, task::CheckpointTaskRequest request,
                             Responder responder) {
    const base::Any options = FromProto(request.options());
    const absl::Status status = co_await Container::Checkpoint(container, request.path(), options);
    responder.Reply(Empty(status));
  }

  static void State(Self, Ptr container, task::StateRequest request, Responder responder) {
    const auto process = container->Find(request.exec_id());
    if (!process.ok()) return responder.Reply(process.status());
    task::StateResponse response;
    response.set_id(request.exec_id().empty() ? container->id() : request.exec_id());
    response.set_bundle(container->bundle());
    response.set_pid((*process)->pid);
    response.set_status(ToProto(container->StateOf(**process)));
    response.set_stdin((*process)->stdio.stdin_path);
    response.set_stdout((*process)->stdio.stdout_path);
    response.set_stderr((*process)->stdio.stderr_path);
    response.set_terminal((*process)->stdio.terminal);
    response.set_exit_status((*process)->exit.status);
    SetTime((*process)->exit.at, response.mutable_exited_at());
    responder.Reply(response.SerializeAsString());
  }

  static void Wait(Self, Ptr container, task::WaitRequest request, Responder responder) {
    const auto process = container->Find(request.exec_id());
    if (!process.ok()) return responder.Reply(process.status());
    (*process)->Wait([responder](absl::StatusOr<ExitRecord> exit) {
      if (!exit.ok()) return responder.Reply(exit.status());
      task::WaitResponse response;
      response.set_exit_status(exit->status);
      SetTime(exit->at, response.mutable_exited_at());
      responder.Reply(response.SerializeAsString());
    });
  }

  static void Stats(Self, Ptr container, task::StatsRequest, Responder responder) {
    absl::StatusOr<base::Any> statistics = container->Statistics();
    if (!statistics.ok()) return responder.Reply(statistics.status());
    task::StatsResponse response;
    response.mutable_stats()->set_type_url(statistics->type_url);
    response.mutable_stats()->set_value(std::move(statistics->value));
    responder.Reply(response.SerializeAsString());
  }

  static void Exec(Self, Ptr container, task::ExecProcessRequest request, Responder responder) {
    if (request.exec_id().empty()) {
      return responder.Reply(base::InvalidArgument("exec id cannot be empty"));
    }
    responder.Reply(Empty(container->AddExec(request.exec_id(), request.spec().value(),
                                             {.stdin_path = request.stdin(),
                                              .stdout_path = request.stdout(),
                                              .stderr_path = request.stderr(),
                                              .terminal = request.terminal()})));
  }

  static void ResizePty(Self, Ptr container, task::ResizePtyRequest request, Responder responder) {
    responder.Reply(Empty(container->Resize(request.exec_id(), request.width(), request.height())));
  }

  static void CloseIo(Self, Ptr container, task::CloseIORequest request, Responder responder) {
    responder.Reply(
        Empty(request.stdin() ? container->CloseStdin(request.exec_id()) : absl::OkStatus()));
  }
};

absl::StatusOr<Container::Ptr> TaskService::Find(const std::string& id) const {
  const auto container = containers_.find(id);
  if (container == containers_.end()) return base::NotFound("container not created");
  return container->second;
}

ttrpc::Service TaskService::Methods() {
  using M = TaskMethods;
  return {
      {"Create", Method<task::CreateTaskRequest>([this](auto request, Responder responder) {
         M::Create(this, std::move(request), std::move(responder));
       })},
      {"Connect", Method<task::ConnectRequest>([this](auto request, Responder responder) {
         M::Connect(this, std::move(request), std::move(responder));
       })},
      {"Shutdown", Method<task::ShutdownRequest>([this](auto request, Responder responder) {
         M::Shutdown(this, std::move(request), std::move(responder));
       })},
      {"State", M::On(this, &M::State)},
      {"Start", M::On(this, &M::Start)},
      {"Delete", M::On(this, &M::Delete)},
      {"Pids", M::On(this, &M::Pids)},
      {"Pause", M::On(this, &M::Pause)},
      {"Resume", M::On(this, &M::Resume)},
      {"Checkpoint", M::On(this, &M::Checkpoint)},
      {"Kill", M::On(this, &M::Kill)},
      {"Exec", M::On(this, &M::Exec)},
      {"ResizePty", M::On(this, &M::ResizePty)},
      {"CloseIO", M::On(this, &M::CloseIo)},
      {"Update", M::On(this, &M::Update)},
      {"Wait", M::On(this, &M::Wait)},
      {"Stats", M::On(this, &M::Stats)},
  };
}

}  // namespace ctrd::runtime::shim
