// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/metadata/metadata.h"
#include "daemon/server/grpc_metrics.h"
#include "daemon/version.h"
#include "metrics/container_metrics.h"
#include "metrics/endpoint.h"
#include "metrics/process_metrics.h"
#include "runtime/task_runtime.h"

namespace ctrd::builtins {
namespace {

// What the gRPC socket serves.
const char* const kServices[] = {"containerd.services.containers.v1.Containers",
                                 "containerd.services.content.v1.Content",
                                 "containerd.services.diff.v1.Diff",
                                 "containerd.services.events.v1.Events",
                                 "containerd.services.images.v1.Images",
                                 "containerd.services.introspection.v1.Introspection",
                                 "containerd.services.leases.v1.Leases",
                                 "containerd.services.namespaces.v1.Namespaces",
                                 "containerd.services.sandbox.v1.Controller",
                                 "containerd.services.sandbox.v1.Store",
                                 "containerd.services.snapshots.v1.Snapshots",
                                 "containerd.services.streaming.v1.Streaming",
                                 "containerd.services.tasks.v1.Tasks",
                                 "containerd.services.transfer.v1.Transfer",
                                 "containerd.services.version.v1.Version",
                                 "grpc.health.v1.Health"};

bool MetricsAreOn(const config::Config& config) {
  const auto section = config.plugins.find("io.containerd.server.v1.metrics");
  return section != config.plugins.end() && !section->second.String("address").empty();
}

absl::StatusOr<plugin::Instance> MakeGrpcMetrics(plugin::InitContext& init) {
  if (!MetricsAreOn(init.config)) return plugin::Instance();  // Calls pass uncounted.
  auto metrics = std::make_unique<server::GrpcMetrics>(
      std::vector<std::string>(std::begin(kServices), std::end(kServices)),
      init.section.Bool("grpc_histogram"));
  server::GrpcMetrics* borrowed = metrics.get();
  return plugin::Instance::Of<server::GrpcMetrics>(std::move(metrics))
      .AlsoAs<base::MetricSource>(borrowed);
}

absl::StatusOr<plugin::Instance> MakeContainerMetrics(plugin::InitContext& init) {
  init.record.platforms = {HostPlatform()};
  if (init.section.Bool("no_prometheus")) return plugin::Instance();
  ASSIGN_OR_RETURN(auto* metadata,
                   init.registry.Get<metadata::Metadata>(plugin::kMetadata, "bolt"));
  ASSIGN_OR_RETURN(auto* tasks, init.registry.Get<runtime::TaskRuntime>(plugin::kRuntime, "task"));
  const auto namespaces = [metadata] {
    std::vector<std::string> names;
    const auto all = metadata->namespaces().List(base::Context());
    if (!all.ok()) base::LogWarn("namespaces are missing in metrics", {{"error", all.status()}});
    if (all.ok()) {
      for (const metadata::Namespace& one : *all) names.push_back(one.name);
    }
    return names;
  };
  const auto runtime_of = [metadata](const base::Context& context, const std::string& id) {
    const auto container = metadata->containers().Get(context, id);
    return container.ok() ? container->runtime.name : std::string();
  };
  return plugin::Instance::Of<base::MetricSource>(
      std::make_unique<metrics::ContainerMetrics>(*tasks, namespaces, runtime_of));
}

// The endpoint, and the sources that belong to no other plugin.
struct MetricsServer {
  metrics::ProcessMetrics process;
  metrics::BuildInfo build{kVersion, kRevision};
  std::unique_ptr<metrics::Endpoint> endpoint;
};

absl::StatusOr<plugin::Instance> ListenForScrapes(plugin::InitContext& init) {
  const std::string& address = init.section.String("address");
  if (address.empty()) return plugin::Skip("no metrics address configured");
  auto server = std::make_unique<MetricsServer>();
  ASSIGN_OR_RETURN(server->endpoint, metrics::Endpoint::Listen(address));
  return plugin::Instance::Of<MetricsServer>(std::move(server));
}

}  // namespace

void StartMetrics(const plugin::Registry& registry) {
  auto* server = registry.Find<MetricsServer>(plugin::kServer, "metrics");
  if (server == nullptr) return;
  std::vector<const base::MetricSource*> sources = {&server->process, &server->build};
  for (const auto* source : registry.FindEverywhere<base::MetricSource>()) {
    sources.push_back(source);
  }
  server->endpoint->Start(std::move(sources));
}

void AddMetrics(plugin::Registry& registry) {
  registry.Add({.type = plugin::kMonitorTask,
                .id = "cgroups",
                .requirements = {plugin::kMetadata, plugin::kRuntime},
                .schema = {{"no_prometheus", false}},
                .init = MakeContainerMetrics});
  registry.Add({.type = plugin::kMetrics,
                .id = "grpc-prometheus",
                .requirements = {},
                .schema = {{"grpc_histogram", false}},
                .init = MakeGrpcMetrics});
  // After all that has something to tell, so that it ends before them.
  registry.Add({.type = plugin::kServer,
                .id = "metrics",
                .requirements = {plugin::kGrpc, plugin::kMetadata, plugin::kMetrics,
                                 plugin::kMonitorContainer, plugin::kMonitorTask, plugin::kRuntime},
                .schema = {{"address", std::string()}},
                .init = ListenForScrapes});
}

}  // namespace ctrd::builtins
