// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/tasks_service.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/wire.h"
#include "daemon/builtins/builtins.h"
#include "daemon/builtins/diff.h"
#include "daemon/metadata/metadata.h"
#include "daemon/services/containers_service.h"
#include "daemon/services/content_service.h"
#include "daemon/services/diff_service.h"
#include "daemon/services/event_replay_service.h"
#include "daemon/services/events_service.h"
#include "daemon/services/health_service.h"
#include "daemon/services/images_service.h"
#include "daemon/services/introspection_service.h"
#include "daemon/services/leases_service.h"
#include "daemon/services/mounts_service.h"
#include "daemon/services/namespaces_service.h"
#include "daemon/services/sandbox_controller_service.h"
#include "daemon/services/sandboxes_service.h"
#include "daemon/services/snapshots_service.h"
#include "daemon/services/streaming_service.h"
#include "daemon/services/transfer_service.h"

namespace ctrd::builtins {
namespace {

using metadata::Metadata;
using ServicePtr = std::unique_ptr<grpc::Service>;

void AddService(plugin::Registry& registry, std::string id, std::vector<std::string> requirements,
                std::function<absl::StatusOr<ServicePtr>(plugin::InitContext&)> make) {
  registry.Add({.type = plugin::kGrpc,
                .id = std::move(id),
                .requirements = std::move(requirements),
                .schema = {},
                .init = [make = std::move(make)](
                            plugin::InitContext& init) -> absl::StatusOr<plugin::Instance> {
                  ASSIGN_OR_RETURN(ServicePtr service, make(init));
                  return plugin::Instance::Of<grpc::Service>(std::move(service));
                }});
}

// A service that needs nothing but the metadata.
void AddMetadataService(plugin::Registry& registry, std::string id,
                        std::function<ServicePtr(Metadata&)> make) {
  AddService(registry, std::move(id), {plugin::kMetadata, plugin::kLease, plugin::kGc},
             [make = std::move(make)](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* metadata,
                                init.registry.Get<Metadata>(plugin::kMetadata, "bolt"));
               return make(*metadata);
             });
}

services::CollectGarbage CollectorOf(Metadata& metadata) {
  return [&metadata](const base::Context& context) { return metadata.gc().RunNow(context); };
}

absl::StatusOr<ServicePtr> MakeTasks(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata, init.registry.Get<Metadata>(plugin::kMetadata, "bolt"));
  ASSIGN_OR_RETURN(auto* tasks, init.registry.Get<runtime::TaskRuntime>(plugin::kRuntime, "task"));
  services::ContainerLookup lookup =
      [metadata](const base::Context& context,
                 std::string_view id) -> absl::StatusOr<services::TaskContainer> {
    ASSIGN_OR_RETURN(metadata::Container container, metadata->containers().Get(context, id));
    return services::TaskContainer{.runtime_name = std::move(container.runtime.name),
                                   .runtime_options = std::move(container.runtime.options),
                                   .spec = std::move(container.spec),
                                   .snapshotter = std::move(container.snapshotter),
                                   .snapshot_key = std::move(container.snapshot_key),
                                   .sandbox = std::move(container.sandbox)};
  };
  return std::make_unique<services::TasksService>(
      *tasks, std::move(lookup), &metadata->content(),
      init.registry.Find<runtime::SandboxRuntime>(plugin::kSandboxController, "shim"));
}

absl::StatusOr<ServicePtr> MakeSandboxControllers(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* events, init.registry.Get<base::EventSink>(plugin::kEvent, "exchange"));
  ASSIGN_OR_RETURN(auto* store,
                   init.registry.Get<metadata::SandboxStore>(plugin::kSandboxStore, "local"));
  return services::MakeSandboxControllerService(
      init.registry.FindAll<runtime::SandboxRuntime>(plugin::kSandboxController), store, events);
}

// PluginInfo of the task runtime: what the shim that the request names says of itself.
services::PluginExtra RuntimeExtra(const plugin::Registry& registry) {
  return [&registry](const base::Context& context, const plugin::Record& record,
                     const base::Any& options) -> absl::StatusOr<base::Any> {
    auto* tasks = registry.Find<runtime::TaskRuntime>(plugin::kRuntime, "task");
    if (record.type != plugin::kRuntime || tasks == nullptr) {
      return base::Unimplemented("plugin does not provided extra information");
    }
    std::string runtime;
    base::Any runtime_options;
    base::WireReader reader(options.value);  // containerd.types.RuntimeRequest
    while (const auto field = reader.Next()) {
      if (field->number == 1) runtime = field->bytes;
      if (field->number == 2) runtime_options = base::ReadWireAny(field->bytes);
    }
    return tasks->RuntimeInfo(context, runtime, runtime_options);
  };
}

}  // namespace

void AddServices(plugin::Registry& registry) {
  AddMetadataService(registry, "containers", [](Metadata& metadata) {
    return services::MakeContainersService(&metadata.containers());
  });
  AddMetadataService(registry, "content", [](Metadata& metadata) {
    return services::MakeContentService(&metadata.content());
  });
  AddService(registry, "diff", {plugin::kService},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* chain,
                                init.registry.Get<DifferChain>(plugin::kService, "diff-service"));
               return services::MakeDiffService(chain->differs, chain->sync_fs);
             });
  AddService(registry, "events", {plugin::kEvent},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* exchange,
                                init.registry.Get<events::Exchange>(plugin::kEvent, "exchange"));
               return std::make_unique<services::EventsService>(*exchange);
             });
  AddService(registry, "event-replay", {plugin::kEvent},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* exchange,
                                init.registry.Get<events::Exchange>(plugin::kEvent, "exchange"));
               if (exchange->log() == nullptr) return plugin::Skip("there is no event log");
               return std::make_unique<services::EventReplayService>(*exchange);
             });
  AddService(registry, "healthcheck", {}, [](plugin::InitContext&) -> absl::StatusOr<ServicePtr> {
    return services::MakeHealthService();
  });
  AddMetadataService(registry, "images", [](Metadata& metadata) {
    return services::MakeImagesService(&metadata.images(), CollectorOf(metadata));
  });
  AddService(registry, "introspection", {plugin::kRuntime},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               return services::MakeIntrospectionService(&init.registry, init.root_dir,
                                                         RuntimeExtra(init.registry));
             });
  AddMetadataService(registry, "leases", [](Metadata& metadata) {
    return services::MakeLeasesService(&metadata.leases(), CollectorOf(metadata));
  });
  AddService(registry, "mounts", {plugin::kMountManager},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* mounts, init.registry.Get<base::MountManager>(
                                                  plugin::kMountManager, "bolt"));
               return services::MakeMountsService(mounts);
             });
  AddMetadataService(registry, "namespaces", [](Metadata& metadata) {
    return services::MakeNamespacesService(&metadata.namespaces());
  });
  AddService(registry, "sandbox-controllers",
             {plugin::kEvent, plugin::kSandboxController, plugin::kSandboxStore},
             MakeSandboxControllers);
  AddService(registry, "sandboxes", {plugin::kSandboxStore},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* store, init.registry.Get<metadata::SandboxStore>(
                                                 plugin::kSandboxStore, "local"));
               return services::MakeSandboxesService(store);
             });
  AddMetadataService(registry, "snapshots", [](Metadata& metadata) {
    return services::MakeSnapshotsService(
        [&metadata](std::string_view name) { return metadata.snapshotter(name); });
  });
  AddService(registry, "streaming", {plugin::kStreaming},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* streams, init.registry.Get<services::Streams>(
                                                   plugin::kStreaming, "manager"));
               return services::MakeStreamingService(streams);
             });
  AddService(registry, "transfer", {plugin::kTransfer, plugin::kStreaming},
             [](plugin::InitContext& init) -> absl::StatusOr<ServicePtr> {
               ASSIGN_OR_RETURN(auto* transfers,
                                init.registry.Get<transfer::Transfer>(plugin::kTransfer, "local"));
               ASSIGN_OR_RETURN(auto* streams, init.registry.Get<services::Streams>(
                                                   plugin::kStreaming, "manager"));
               return services::MakeTransferService(transfers, streams);
             });
  AddService(registry, "tasks", {plugin::kMetadata, plugin::kRuntime, plugin::kSandboxController},
             MakeTasks);
  AddService(registry, "version", {}, [](plugin::InitContext&) -> absl::StatusOr<ServicePtr> {
    return services::MakeVersionService();
  });
}

}  // namespace ctrd::builtins
