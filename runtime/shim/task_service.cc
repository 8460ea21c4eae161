// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/task_service.h"

#include <signal.h>
#include <unistd.h>

#include "absl/time/clock.h"

#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/shim/proto_time.h"
#include "runtime/task/v3/shim.pb.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::runtime::shim {
namespace {

namespace task = ::containerd::task::v3;
using ttrpc::Responder;
using ttrpc::Response;

constexpr uint32_t kFirstQueuedSignal = 32;  // From here on each one counts (SIGRTMIN).

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

// Whether a second call like `request` is the first one made again.
template <typename Request>
bool MayJoin(const Request& request) {
  if constexpr (std::is_same_v<Request, task::KillRequest>) {
    return request.signal() < kFirstQueuedSignal;
  }
  return std::is_same_v<Request, task::CreateTaskRequest> ||
         std::is_same_v<Request, task::StartRequest> ||
         std::is_same_v<Request, task::DeleteRequest>;
}

// A method that takes Request: what does not decode is answered here.
template <typename Request, typename Function>
ttrpc::Handler Method(JoinedCalls* running, Rest* rest, Function function) {
  return [running, rest, function](const ttrpc::Call& call, Responder responder) {
    rest->Disturb();
    Request request;
    if (!request.ParseFromString(call.payload)) {
      return responder.Reply(absl::InternalError(
          "ttrpc: error unmarshalling payload: proto: cannot parse invalid wire-format data"));
    }
    Reply reply = [responder](Response response) { responder.Reply(std::move(response)); };
    if (MayJoin(request)) {
      reply = running->Begin(call.method + '\0' + call.payload, std::move(responder));
    }
    if (reply) function(std::move(request), std::move(reply));
  };
}

}  // namespace

// The methods. Those on a container that exists all have one shape.
struct TaskMethods {
  using Self = TaskService*;
  using Ptr = Container::Ptr;

  template <typename Request, typename Result>
  static ttrpc::Handler On(Self self, Result (*method)(Self, Ptr, Request, Reply)) {
    return Method<Request>(
        &self->running_, self->shim_.rest, [self, method](Request request, Reply reply) {
          absl::StatusOr<Ptr> container = self->Find(request.id());
          if (!container.ok()) return reply(container.status());
          method(self, *std::move(container), std::move(request), std::move(reply));
        });
  }

  static Detached Create(Self self, task::CreateTaskRequest request, Reply reply) {
    const std::string id = request.id();
    absl::Status status = base::ValidateIdentifier(id);
    if (self->containers_.contains(id) || self->creating_.contains(id)) {
      status = base::AlreadyExists("task {}", id);
    }
    const absl::StatusOr<RuncOptions> options = DecodeRuncOptions(FromProto(request.options()));
    status.Update(options.status());
    if (!status.ok()) {
      reply(status);
      co_return;
    }
    ContainerRequest wanted = FromProto(request);
    if (wanted.checkpoint.empty()) wanted.checkpoint = options->criu_image_path;
    const auto container = std::make_shared<Container>(self->shim_, std::move(wanted), *options);
    self->creating_[id] = container;
    status = co_await Container::Create(container);
    self->creating_.erase(id);
    if (status.ok()) self->containers_[id] = container;
    self->creation_ended_.Notify();
    task::CreateTaskResponse response;
    response.set_pid((*container->Find(""))->pid);
    reply(status.ok() ? Response(response.SerializeAsString()) : status);
    self->LeaveIfEmpty();
  }

  static void Connect(Self self, task::ConnectRequest request, Reply reply) {
    self->shim_.publisher->DaemonIsThere();
    task::ConnectResponse response;
    response.set_shim_pid(static_cast<uint32_t>(::getpid()));
    if (const auto container = self->Find(request.id()); container.ok()) {
      response.set_task_pid((*(*container)->Find(""))->pid);
    }
    reply(response.SerializeAsString());
  }

  static void Shutdown(Self self, task::ShutdownRequest, Reply reply) {
    reply(std::string());
    self->Leave();
  }

  static Detached Start(Self, Ptr container, task::StartRequest request, Reply reply) {
    const absl::StatusOr<uint32_t> pid = co_await Container::Start(container, request.exec_id());
    task::StartResponse response;
    if (pid.ok()) response.set_pid(*pid);
    reply(pid.ok() ? Response(response.SerializeAsString()) : pid.status());
  }

  static Detached Delete(Self self, task::DeleteRequest request, Reply reply) {
    const std::string id = request.id();
    // Who deletes what is still being made has given up on it: a daemon whose client went away.
    if (const auto creating = self->creating_.find(id); creating != self->creating_.end()) {
      creating->second->AbandonCreate();
    }
    while (self->creating_.contains(id)) {
      co_await self->creation_ended_.Wait();
    }
    const absl::StatusOr<Ptr> container = self->Find(id);
    if (!container.ok()) {
      reply(container.status());
      co_return;
    }
    const absl::StatusOr<ExitRecord> exit =
        co_await Container::Delete(*container, request.exec_id());
    if (exit.ok() && request.exec_id().empty()) self->containers_.erase(id);
    reply(exit.ok() ? Response(EncodeExit(*exit)) : exit.status());
  }

  static Detached Pids(Self, Ptr container, task::PidsRequest, Reply reply) {
    const auto pids = co_await Container::Pids(container);
    if (!pids.ok()) {
      reply(pids.status());
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
    reply(response.SerializeAsString());
  }

  static Detached Kill(Self, Ptr container, task::KillRequest request, Reply reply) {
    const absl::Status status =
        co_await Container::Kill(container, request.exec_id(), request.signal(), request.all());
    reply(Empty(status));
  }

  static Detached Pause(Self, Ptr container, task::PauseRequest, Reply reply) {
    const absl::Status status = co_await Container::Pause(container);
    reply(Empty(status));
  }

  static Detached Resume(Self, Ptr container, task::ResumeRequest, Reply reply) {
    const absl::Status status = co_await Container::Resume(container);
    reply(Empty(status));
  }

  static Detached Update(Self, Ptr container, task::UpdateTaskRequest request, Reply reply) {
    absl::Status status = base::InvalidArgument("resources must be given");
    if (!request.resources().value().empty()) {
      status = co_await Container::Update(container, request.resources().value());
    }
    reply(Empty(status));
  }

  static Detached Checkpoint(Self, Ptr container, task::CheckpointTaskRequest request,
                             Reply reply) {
    const base::Any options = FromProto(request.options());
    const absl::Status status = co_await Container::Checkpoint(container, request.path(), options);
    reply(Empty(status));
  }

  static void State(Self, Ptr container, task::StateRequest request, Reply reply) {
    const auto process = container->Find(request.exec_id());
    if (!process.ok()) return reply(process.status());
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
    reply(response.SerializeAsString());
  }

  static void Wait(Self, Ptr container, task::WaitRequest request, Reply reply) {
    const auto process = container->Find(request.exec_id());
    if (!process.ok()) return reply(process.status());
    (*process)->Wait([reply](absl::StatusOr<ExitRecord> exit) {
      if (!exit.ok()) return reply(exit.status());
      task::WaitResponse response;
      response.set_exit_status(exit->status);
      SetTime(exit->at, response.mutable_exited_at());
      reply(response.SerializeAsString());
    });
  }

  static void Stats(Self, Ptr container, task::StatsRequest, Reply reply) {
    absl::StatusOr<base::Any> statistics = container->Statistics();
    if (!statistics.ok()) return reply(statistics.status());
    task::StatsResponse response;
    response.mutable_stats()->set_type_url(statistics->type_url);
    response.mutable_stats()->set_value(std::move(statistics->value));
    reply(response.SerializeAsString());
  }

  static void Exec(Self, Ptr container, task::ExecProcessRequest request, Reply reply) {
    if (request.exec_id().empty()) {
      return reply(base::InvalidArgument("exec id cannot be empty"));
    }
    // It becomes part of names of files.
    if (const absl::Status valid = base::ValidateIdentifier(request.exec_id()); !valid.ok()) {
      return reply(base::Annotate(valid, fmt::format("invalid exec id {}", request.exec_id())));
    }
    reply(Empty(container->AddExec(request.exec_id(), request.spec().value(),
                                   {.stdin_path = request.stdin(),
                                    .stdout_path = request.stdout(),
                                    .stderr_path = request.stderr(),
                                    .terminal = request.terminal()})));
  }

  static void ResizePty(Self, Ptr container, task::ResizePtyRequest request, Reply reply) {
    reply(Empty(container->Resize(request.exec_id(), request.width(), request.height())));
  }

  static void CloseIo(Self, Ptr container, task::CloseIORequest request, Reply reply) {
    reply(Empty(request.stdin() ? container->CloseStdin(request.exec_id()) : absl::OkStatus()));
  }
};

absl::StatusOr<Container::Ptr> TaskService::Find(const std::string& id) const {
  const auto container = containers_.find(id);
  if (container == containers_.end()) return base::NotFound("container not created");
  return container->second;
}

Async<bool> TaskService::EndAll(TaskService* self, absl::Time deadline) {
  Completion<bool> ended;
  const auto timer =
      self->shim_.loop->After(deadline - absl::Now(), [late = ended.callback()] { late(false); });
  // Until the callback below is there, it counts as one that has not ended.
  const auto left = std::make_shared<size_t>(1);
  const auto count_down = [left, done = ended.callback()] {
    if (--*left == 0) done(true);
  };
  const std::map<std::string, Container::Ptr> all = self->containers_;
  for (const auto& [id, container] : all) {
    ++*left;
    (*container->Find(""))->Wait([count_down](absl::StatusOr<ExitRecord>) { count_down(); });
    // One that has ended, or ends by itself meanwhile, is what we want.
    (void)co_await Container::Kill(container, "", SIGKILL, /*all=*/false);
    (void)co_await Container::Resume(container);  // A frozen process does not die.
  }
  count_down();
  const bool in_time = co_await ended;
  self->shim_.loop->Cancel(timer);
  co_return in_time;
}

Async<absl::Status> TaskService::DeleteAll(TaskService* self) {
  const std::map<std::string, Container::Ptr> all = self->containers_;
  for (const auto& [id, container] : all) {
    const absl::StatusOr<ExitRecord> deleted = co_await Container::Delete(container, "");
    if (!deleted.ok() && !absl::IsNotFound(deleted.status())) co_return deleted.status();
    self->containers_.erase(id);
  }
  co_return absl::OkStatus();
}

void TaskService::Leave() {
  leaving_ = true;
  LeaveIfEmpty();
}

void TaskService::LeaveIfEmpty() {
  if (!containers_.empty() || held_) leaving_ = false;
  if (!leaving_ || !creating_.empty() || !shutdown_) return;
  std::exchange(shutdown_, nullptr)();
}

void TaskService::LogState() const {
  for (const auto* table : {&containers_, &creating_}) {
    for (const auto& [id, container] : *table) {
      base::LogInfo("container", {{"id", id}, {"state", container->Description()}});
    }
  }
  base::LogInfo("events waiting", {{"count", shim_.publisher->queued()}});
}

ttrpc::Service TaskService::Methods() {
  using M = TaskMethods;
  const auto on_shim =
      [this]<typename Request, typename Result>(Result (*method)(TaskService*, Request, Reply)) {
        return Method<Request>(&running_, shim_.rest, [this, method](Request request, Reply reply) {
          method(this, std::move(request), std::move(reply));
        });
      };
  return {
      {"Create", on_shim(&M::Create)},           {"Connect", on_shim(&M::Connect)},
      {"Shutdown", on_shim(&M::Shutdown)},       {"Delete", on_shim(&M::Delete)},
      {"State", M::On(this, &M::State)},         {"Start", M::On(this, &M::Start)},
      {"Pids", M::On(this, &M::Pids)},           {"Pause", M::On(this, &M::Pause)},
      {"Resume", M::On(this, &M::Resume)},       {"Checkpoint", M::On(this, &M::Checkpoint)},
      {"Kill", M::On(this, &M::Kill)},           {"Exec", M::On(this, &M::Exec)},
      {"ResizePty", M::On(this, &M::ResizePty)}, {"CloseIO", M::On(this, &M::CloseIo)},
      {"Update", M::On(this, &M::Update)},       {"Wait", M::On(this, &M::Wait)},
      {"Stats", M::On(this, &M::Stats)},
  };
}

}  // namespace ctrd::runtime::shim
