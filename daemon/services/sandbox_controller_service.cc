// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/sandbox_controller_service.h"

#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "base/identifiers.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/convert.h"
#include "daemon/services/sandboxes_service.h"
#include "events/sandbox.pb.h"
#include "services/sandbox/v1/sandbox.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::sandbox::v1;
using base::Context;
using runtime::SandboxRuntime;
using server::Serve;

namespace {

using PublishExit = std::function<void(const runtime::Exit& exit)>;

// Waits for the exit of a sandbox. Deleted by gRPC's OnDone, which comes after the handler that
// made it has returned.
class WaitReactor final : public grpc::ServerUnaryReactor {
 public:
  WaitReactor(api::ControllerWaitResponse* response, PublishExit publish)
      : response_(response), publish_(std::move(publish)) {}

  void Start(SandboxRuntime& controller, const Context& context, const std::string& id) {
    pending_ = controller.Wait(
        context, id, [this](absl::StatusOr<runtime::Exit> exit) { Done(std::move(exit)); });
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
      publish_(*exit);
      response_->set_exit_status(exit->status);
      ToProto(exit->at, response_->mutable_exited_at());
    }
    Finish(server::ToGrpc(exit.status()));
  }

  api::ControllerWaitResponse* const response_;
  const PublishExit publish_;
  std::mutex mutex_;
  bool finished_ = false;
  // Last: goes first, and with it the last call of Done.
  std::unique_ptr<runtime::TaskRuntime::PendingWait> pending_;
};

template <typename Response>
void SetEndpoint(const runtime::SandboxEndpoint& endpoint, Response* response) {
  response->set_address(endpoint.address);
  response->set_version(endpoint.version);
}

class ControllerService final
    : public api::Controller::WithCallbackMethod_Wait<api::Controller::Service> {
 public:
  ControllerService(SandboxControllers controllers, metadata::SandboxStore* sandboxes,
                    base::EventSink* events)
      : controllers_(std::move(controllers)), sandboxes_(sandboxes), events_(events) {}

  grpc::Status Create(grpc::ServerContext* rpc, const api::ControllerCreateRequest* request,
                      api::ControllerCreateResponse* response) override {
    return ServeSandbox(
        rpc, "sandbox.Create", *request,
        [&](const Context& context, SandboxRuntime& controller) -> absl::Status {
          ASSIGN_OR_RETURN(const metadata::Sandbox record, RecordOf(context, *request));
          RETURN_IF_ERROR(
              controller.Create(context, {.id = request->sandbox_id(),
                                          .runtime = record.runtime.name,
                                          .runtime_options = record.runtime.options,
                                          .spec = record.spec,
                                          .options = FromProto(request->options()),
                                          .rootfs = FromProto(request->rootfs()),
                                          .netns_path = request->netns_path(),
                                          .annotations = FromProto(request->annotations())}));
          containerd::events::SandboxCreate event;
          event.set_sandbox_id(request->sandbox_id());
          Publish(context.namespace_name(), "/sandboxes/create", event);
          response->set_sandbox_id(request->sandbox_id());
          return absl::OkStatus();
        });
  }

  grpc::Status Start(grpc::ServerContext* rpc, const api::ControllerStartRequest* request,
                     api::ControllerStartResponse* response) override {
    return ServeSandbox(rpc, "sandbox.Start", *request,
                        [&](const Context& context, SandboxRuntime& controller) -> absl::Status {
                          ASSIGN_OR_RETURN(const runtime::StartedSandbox started,
                                           controller.Start(context, request->sandbox_id()));
                          response->set_sandbox_id(request->sandbox_id());
                          response->set_pid(started.pid);
                          ToProto(started.created, response->mutable_created_at());
                          SetEndpoint(started.endpoint, response);
                          if (!started.spec.empty())
                            ToProto(started.spec, response->mutable_spec());
                          containerd::events::SandboxStart event;
                          event.set_sandbox_id(request->sandbox_id());
                          Publish(context.namespace_name(), "/sandboxes/start", event);
                          return absl::OkStatus();
                        });
  }

  grpc::Status Platform(grpc::ServerContext* rpc, const api::ControllerPlatformRequest* request,
                        api::ControllerPlatformResponse* response) override {
    return ServeSandbox(rpc, "sandbox.Platform", *request,
                        [&](const Context& context, SandboxRuntime& controller) -> absl::Status {
                          ASSIGN_OR_RETURN(const runtime::SandboxPlatform platform,
                                           controller.Platform(context, request->sandbox_id()));
                          response->mutable_platform()->set_os(platform.os);
                          response->mutable_platform()->set_architecture(platform.architecture);
                          response->mutable_platform()->set_variant(platform.variant);
                          return absl::OkStatus();
                        });
  }

  grpc::Status Stop(grpc::ServerContext* rpc, const api::ControllerStopRequest* request,
                    api::ControllerStopResponse*) override {
    return ServeSandbox(
        rpc, "sandbox.Stop", *request, [&](const Context& context, SandboxRuntime& controller) {
          return controller.Stop(context, request->sandbox_id(), request->timeout_secs());
        });
  }

  grpc::Status Status(grpc::ServerContext* rpc, const api::ControllerStatusRequest* request,
                      api::ControllerStatusResponse* response) override {
    return ServeSandbox(
        rpc, "sandbox.Status", *request,
        [&](const Context& context, SandboxRuntime& controller) -> absl::Status {
          response->set_sandbox_id(request->sandbox_id());
          const auto state = controller.State(context, request->sandbox_id(), request->verbose());
          if (absl::IsNotFound(state.status())) {
            // Clients ask this of sandboxes whose shim is gone, and take it for their end.
            ToProto(absl::Now(), response->mutable_exited_at());
            return absl::OkStatus();
          }
          RETURN_IF_ERROR(state.status());
          response->set_pid(state->pid);
          response->set_state(state->state);
          ToProto(base::Labels(state->info.begin(), state->info.end()), response->mutable_info());
          ToProto(state->created, response->mutable_created_at());
          ToProto(state->exited, response->mutable_exited_at());
          if (!state->extra.empty()) ToProto(state->extra, response->mutable_extra());
          SetEndpoint(state->endpoint, response);
          return absl::OkStatus();
        });
  }

  grpc::Status Shutdown(grpc::ServerContext* rpc, const api::ControllerShutdownRequest* request,
                        api::ControllerShutdownResponse*) override {
    return ServeSandbox(rpc, "sandbox.Shutdown", *request,
                        [&](const Context& context, SandboxRuntime& controller) {
                          return controller.Shutdown(context, request->sandbox_id());
                        });
  }

  grpc::Status Metrics(grpc::ServerContext* rpc, const api::ControllerMetricsRequest* request,
                       api::ControllerMetricsResponse* response) override {
    return ServeSandbox(rpc, "sandbox.Metrics", *request,
                        [&](const Context& context, SandboxRuntime& controller) -> absl::Status {
                          ASSIGN_OR_RETURN(const runtime::TaskStatistics statistics,
                                           controller.Statistics(context, request->sandbox_id()));
                          response->mutable_metrics()->set_id(statistics.id);
                          ToProto(statistics.timestamp,
                                  response->mutable_metrics()->mutable_timestamp());
                          ToProto(statistics.data, response->mutable_metrics()->mutable_data());
                          return absl::OkStatus();
                        });
  }

  // A controller that runs shims has nothing to change in them: the record is the store's.
  grpc::Status Update(grpc::ServerContext* rpc, const api::ControllerUpdateRequest* request,
                      api::ControllerUpdateResponse*) override {
    return ServeSandbox(rpc, "sandbox.Update", *request,
                        [&](const Context& context, SandboxRuntime& controller) {
                          return controller.Endpoint(context, request->sandbox_id()).status();
                        });
  }

  grpc::ServerUnaryReactor* Wait(grpc::CallbackServerContext* rpc,
                                 const api::ControllerWaitRequest* request,
                                 api::ControllerWaitResponse* response) override {
    const Context context = server::ContextOf(*rpc);
    auto* const reactor = new WaitReactor(
        response, [this, context, id = request->sandbox_id()](const runtime::Exit& exit) {
          containerd::events::SandboxExit event;
          event.set_sandbox_id(id);
          event.set_exit_status(exit.status);
          ToProto(exit.at, event.mutable_exited_at());
          Publish(context.namespace_name(), "/sandboxes/exit", event);
        });
    absl::Status status = base::RequireNamespace(context);
    const auto controller = Find(request->sandboxer());
    if (status.ok()) status = controller.status();
    if (status.ok()) {
      reactor->Start(**controller, context, request->sandbox_id());
    } else {
      reactor->End(server::ToGrpc(status));
    }
    return reactor;
  }

 private:
  absl::StatusOr<SandboxRuntime*> Find(const std::string& name) const {
    const auto found = controllers_.find(name.empty() ? kDefaultSandboxer : name);
    if (found != controllers_.end()) return found->second;
    return base::NotFound("failed to get sandbox controller by {}", name);
  }

  template <typename Request, typename Work>
  grpc::Status ServeSandbox(grpc::ServerContext* rpc, std::string_view method,
                            const Request& request, const Work& work) const {
    return Serve(rpc, method, [&](const Context& context) -> absl::Status {
      RETURN_IF_ERROR(base::RequireNamespace(context));
      ASSIGN_OR_RETURN(SandboxRuntime* const controller, Find(request.sandboxer()));
      return work(context, *controller);
    });
  }

  // As the request describes it; older clients leave that to the store.
  absl::StatusOr<metadata::Sandbox> RecordOf(const Context& context,
                                             const api::ControllerCreateRequest& request) const {
    if (request.has_sandbox()) return services::FromProto(request.sandbox());
    return sandboxes_->Get(context, request.sandbox_id());
  }

  template <typename Event>
  void Publish(const std::string& name_space, const char* topic, const Event& event) const {
    const absl::Status published =
        events_->Publish({.timestamp = absl::Now(),
                          .namespace_name = name_space,
                          .topic = topic,
                          .payload = {.type_url = Event::descriptor()->full_name(),
                                      .value = event.SerializeAsString()}});
    if (!published.ok()) {
      base::LogWarn("event of a sandbox is lost", {{"topic", topic}, {"error", published}});
    }
  }

  const SandboxControllers controllers_;
  metadata::SandboxStore* const sandboxes_;
  base::EventSink* const events_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSandboxControllerService(SandboxControllers controllers,
                                                            metadata::SandboxStore* sandboxes,
                                                            base::EventSink* events) {
  return std::make_unique<ControllerService>(std::move(controllers), sandboxes, events);
}

}  // namespace ctrd::services
