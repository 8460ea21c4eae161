// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/time.h"
#include "daemon/builtins/builtins.h"
#include "daemon/metadata/metadata.h"
#include "daemon/restart/restart_monitor.h"
#include "runtime/task_runtime.h"

namespace ctrd::builtins {
namespace {

// It starts when clients are served: see AfterServing.
absl::StatusOr<plugin::Instance> MakeRestartMonitor(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata,
                   init.registry.Get<metadata::Metadata>(plugin::kMetadata, "bolt"));
  ASSIGN_OR_RETURN(auto* tasks, init.registry.Get<runtime::TaskRuntime>(plugin::kRuntime, "task"));
  const std::string& text = init.section.String("interval");
  const auto interval = base::ParseDuration(text);
  if (!interval || *interval < absl::ZeroDuration()) {
    return base::InvalidArgument("{}: invalid duration", text);
  }
  restart::MonitorOptions options;
  options.sandboxes =
      init.registry.Find<runtime::SandboxRuntime>(plugin::kSandboxController, "shim");
  if (*interval > absl::ZeroDuration()) options.interval = *interval;
  init.record.capabilities = {"no", "always", "on-failure", "unless-stopped"};
  auto monitor = std::make_unique<restart::RestartMonitor>(*metadata, *tasks, std::move(options));
  restart::RestartMonitor* borrowed = monitor.get();
  return plugin::Instance::Of<restart::RestartMonitor>(std::move(monitor))
      .AlsoAs<base::MetricSource>(borrowed);
}

}  // namespace

void AddMonitors(plugin::Registry& registry) {
  registry.Add({.type = plugin::kMonitorContainer,
                .id = "restart",
                .requirements = {plugin::kMetadata, plugin::kRuntime, plugin::kSandboxController},
                .schema = {{"interval", std::string("10s")}},
                .init = MakeRestartMonitor});
}

}  // namespace ctrd::builtins
