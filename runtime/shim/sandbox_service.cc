// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/sandbox_service.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mount.h"
#include "base/status.h"
#include "base/time.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/sandbox/v1/sandbox.pb.h"
#include "runtime/shim/proto_time.h"

namespace ctrd::runtime::shim {
namespace {

namespace sandbox = ::containerd::runtime::sandbox::v1;

constexpr absl::Duration kStopWithoutLimit = absl::Minutes(2);
constexpr absl::Duration kShutdown = absl::Seconds(10);

// The name of this machine's architecture in image platforms.
std::string Architecture() {
  utsname names;
  if (::uname(&names) != 0) return "";
  const std::string machine = names.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine.starts_with("arm")) return "arm";
  return machine;
}

template <typename Request, typename Function>
ttrpc::Handler Method(Rest* rest, Function function) {
  return [rest, function](const ttrpc::Call& call, ttrpc::Responder responder) {
    rest->Disturb();
    Request request;
    if (!request.ParseFromString(call.payload)) {
      return responder.Reply(absl::InternalError(
          "ttrpc: error unmarshalling payload: proto: cannot parse invalid wire-format data"));
    }
    function(std::move(request),
             [responder](ttrpc::Response response) { responder.Reply(std::move(response)); });
  };
}

ttrpc::Response Empty(const absl::Status& status) {
  if (!status.ok()) return status;
  return std::string();
}

}  // namespace

struct SandboxMethods {
  using Self = SandboxService*;
  using Sandbox = SandboxService::Sandbox;

  // A method on a sandbox that exists.
  template <typename Request, typename Result>
  static ttrpc::Handler On(Self self, Result (*method)(Self, Sandbox&, Request, Reply)) {
    return Method<Request>(self->shim_.rest, [self, method](Request request, Reply reply) {
      const absl::StatusOr<Sandbox*> found = self->Find(request.sandbox_id());
      if (!found.ok()) return reply(found.status());
      method(self, **found, std::move(request), std::move(reply));
    });
  }

  static void Create(Self self, sandbox::CreateSandboxRequest request, Reply reply) {
    const std::string& id = request.sandbox_id();
    if (self->sandboxes_.contains(id)) return reply(base::AlreadyExists("sandbox {}", id));
    Sandbox created{.id = id, .created_at = absl::Now(), .exited_at = base::ZeroTime()};
    base::Mounts mounts;
    for (const auto& mount : request.rootfs()) {
      mounts.push_back({.type = mount.type(),
                        .source = mount.source(),
                        .target = mount.target(),
                        .options = {mount.options().begin(), mount.options().end()}});
    }
    if (!mounts.empty()) {
      created.rootfs = request.bundle_path() + "/rootfs";
      const absl::Status mounted = base::MountAll(mounts, created.rootfs);
      if (!mounted.ok()) return reply(absl::UnknownError(mounted.message()));
    }
    self->sandboxes_[id] = std::move(created);
    self->tasks_->Hold(true);
    reply(std::string());
  }

  static void Start(Self, Sandbox& found, sandbox::StartSandboxRequest, Reply reply) {
    if (found.stopped) {
      return reply(base::FailedPrecondition("sandbox {} is stopped", found.id));
    }
    found.started = true;
    sandbox::StartSandboxResponse response;
    response.set_pid(static_cast<uint32_t>(::getpid()));
    SetTime(found.created_at, response.mutable_created_at());
    reply(response.SerializeAsString());
  }

  static void Platform(Self, Sandbox&, sandbox::PlatformRequest, Reply reply) {
    sandbox::PlatformResponse response;
    response.mutable_platform()->set_os("linux");
    response.mutable_platform()->set_architecture(Architecture());
    reply(response.SerializeAsString());
  }

  static Detached Stop(Self self, sandbox::StopSandboxRequest request, Reply reply) {
    const absl::Duration limit =
        request.timeout_secs() == 0 ? kStopWithoutLimit : absl::Seconds(request.timeout_secs());
    const absl::Status status =
        co_await SandboxService::Stop(self, request.sandbox_id(), absl::Now() + limit);
    reply(Empty(status));
  }

  static void Wait(Self, Sandbox& found, sandbox::WaitSandboxRequest, Reply reply) {
    if (!found.stopped) return found.waiting.push_back(std::move(reply));
    reply(WaitAnswer(found));
  }

  static std::string WaitAnswer(const Sandbox& found) {
    sandbox::WaitSandboxResponse response;
    SetTime(found.exited_at, response.mutable_exited_at());
    return response.SerializeAsString();
  }

  static void Status(Self self, Sandbox& found, sandbox::SandboxStatusRequest request,
                     Reply reply) {
    sandbox::SandboxStatusResponse response;
    response.set_sandbox_id(found.id);
    const bool ready = found.started && !found.stopped;
    response.set_state(ready ? "SANDBOX_READY" : "SANDBOX_NOTREADY");
    if (ready) response.set_pid(static_cast<uint32_t>(::getpid()));
    SetTime(found.created_at, response.mutable_created_at());
    SetTime(found.exited_at, response.mutable_exited_at());
    if (request.verbose()) {
      for (const auto& [id, container] : self->tasks_->containers()) {
        (*response.mutable_info())["container " + id] = container->Description();
      }
    }
    reply(response.SerializeAsString());
  }

  static void Ping(Self, Sandbox&, sandbox::PingRequest, Reply reply) { reply(std::string()); }

  static Detached Shutdown(Self self, sandbox::ShutdownSandboxRequest request, Reply reply) {
    const std::string id = request.sandbox_id();
    const absl::Time deadline = absl::Now() + kShutdown;
    absl::Status status = co_await SandboxService::Stop(self, id, deadline);
    if (status.ok()) {
      status = co_await TaskService::DeleteAll(self->tasks_);
    }
    const auto found = self->sandboxes_.find(id);
    if (status.ok() && found != self->sandboxes_.end()) {
      if (!found->second.rootfs.empty()) status = base::UnmountAll(found->second.rootfs);
    }
    if (!status.ok()) {
      reply(status);
      co_return;
    }
    self->sandboxes_.erase(id);
    self->tasks_->Hold(!self->sandboxes_.empty());
    reply(std::string());
    self->tasks_->Leave();
  }

  static void Metrics(Self, Sandbox& found, sandbox::SandboxMetricsRequest, Reply reply) {
    const auto cgroup = cgroups::Cgroup::OfProcess(::getpid());
    if (!cgroup.ok()) return reply(cgroup.status());
    absl::StatusOr<base::Any> statistics = cgroup->Statistics();
    if (!statistics.ok()) return reply(statistics.status());
    sandbox::SandboxMetricsResponse response;
    auto* metric = response.mutable_metrics();
    SetTime(absl::Now(), metric->mutable_timestamp());
    metric->set_id(found.id);
    metric->mutable_data()->set_type_url(statistics->type_url);
    metric->mutable_data()->set_value(std::move(statistics->value));
    reply(response.SerializeAsString());
  }
};

absl::StatusOr<SandboxService::Sandbox*> SandboxService::Find(const std::string& id) {
  const auto found = sandboxes_.find(id);
  if (found == sandboxes_.end()) return base::NotFound("sandbox {}", id);
  return &found->second;
}

Async<absl::Status> SandboxService::Stop(SandboxService* self, std::string id,
                                         absl::Time deadline) {
  CO_RETURN_IF_ERROR(self->Find(id).status());
  const bool ended = co_await TaskService::EndAll(self->tasks_, deadline);
  if (!ended) co_return base::MakeError(absl::StatusCode::kDeadlineExceeded, "");
  const absl::StatusOr<Sandbox*> found = self->Find(id);
  if (!found.ok() || (*found)->stopped) co_return absl::OkStatus();
  (*found)->stopped = true;
  (*found)->exited_at = absl::Now();
  for (const Reply& waiting : std::exchange((*found)->waiting, {})) {
    waiting(SandboxMethods::WaitAnswer(**found));
  }
  co_return absl::OkStatus();
}

ttrpc::Service SandboxService::Methods() {
  using M = SandboxMethods;
  const auto on_shim =
      [this]<typename Request, typename Result>(Result (*method)(SandboxService*, Request, Reply)) {
        return Method<Request>(shim_.rest, [this, method](Request request, Reply reply) {
          method(this, std::move(request), std::move(reply));
        });
      };
  return {
      {"CreateSandbox", on_shim(&M::Create)},       {"StartSandbox", M::On(this, &M::Start)},
      {"Platform", M::On(this, &M::Platform)},      {"StopSandbox", on_shim(&M::Stop)},
      {"WaitSandbox", M::On(this, &M::Wait)},       {"SandboxStatus", M::On(this, &M::Status)},
      {"PingSandbox", M::On(this, &M::Ping)},       {"ShutdownSandbox", on_shim(&M::Shutdown)},
      {"SandboxMetrics", M::On(this, &M::Metrics)},
  };
}

}  // namespace ctrd::runtime::shim
