// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/builtins/shims.h"
#include "daemon/metadata/metadata.h"
#include "daemon/restart/restart_monitor.h"
#include "daemon/version.h"
#include "runtime/runc/known_flaws.h"
#include "runtime/supervisor/sandbox_supervisor.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::builtins {
namespace {

// Fixed, whatever the state directory is: shims of all generations meet there.
constexpr char kSocketDirectory[] = "/run/containerd/s";
constexpr size_t kMaxSocketDirectory = 42;

constexpr absl::Duration kRuncAnswers = absl::Seconds(2);

// Says which runc this is, and what is known to be wrong with it: an old one is never refused.
void ReportRunc(const absl::StatusOr<runtime::runc::RuntimeReport>& report,
                plugin::Record& record) {
  if (!report.ok()) {
    base::LogWarn("runc does not tell its version", {{"error", report.status()}});
    return;
  }
  record.exports["runc-version"] = report->name + " " + report->version;
  if (report->flaws.empty()) {
    base::LogInfo("OCI runtime", {{"name", report->name}, {"version", report->version}});
    return;
  }
  std::string flaws;
  for (const std::string& flaw : report->flaws) flaws += (flaws.empty() ? "" : ",") + flaw;
  record.exports["runc-known-flaws"] = flaws;
  base::LogWarn("runc has known flaws, unless the distribution has mended them",
                {{"version", report->version}, {"flaws", flaws}});
}

absl::StatusOr<plugin::Instance> ReadShimSettings(plugin::InitContext& init) {
  auto settings = std::make_unique<ShimSettings>();
  settings->environment = init.section.Strings("env");
  settings->socket_directory = init.section.String("socket_dir");
  if (settings->socket_directory.empty()) settings->socket_directory = kSocketDirectory;
  if (!settings->socket_directory.starts_with('/') ||
      settings->socket_directory.size() > kMaxSocketDirectory) {
    return base::InvalidArgument("socket_dir '{}' must be absolute and at most {} bytes long",
                                 settings->socket_directory, kMaxSocketDirectory);
  }
  settings->runc = std::async(std::launch::async,
                              [] { return runtime::runc::InspectRuntime("runc", kRuncAnswers); });
  return plugin::Instance::Of<ShimSettings>(std::move(settings));
}

std::string AddressOf(const config::Config& config, const char* server) {
  const auto section = config.plugins.find(std::string(plugin::kServer) + "." + server);
  return section == config.plugins.end() ? "" : section->second.String("address");
}

absl::StatusOr<plugin::Instance> OpenSupervisor(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* events, init.registry.Get<base::EventSink>(plugin::kEvent, "exchange"));
  ASSIGN_OR_RETURN(auto* metadata,
                   init.registry.Get<metadata::Metadata>(plugin::kMetadata, "bolt"));
  ASSIGN_OR_RETURN(auto* settings, init.registry.Get<ShimSettings>(plugin::kShim, "manager"));
  runtime::SupervisorOptions options;
  options.root_dir = init.root_dir;
  options.state_dir = init.state_dir;
  options.shims = ShimOptions(init.config, *settings);
  options.timeouts.shim_load = init.config.Timeout("shim.load");
  options.timeouts.shim_cleanup = init.config.Timeout("shim.cleanup");
  options.timeouts.shim_shutdown = init.config.Timeout("shim.shutdown");
  options.timeouts.task_state = init.config.Timeout("task.state");
  options.timeouts.statistics = init.config.Timeout("metrics.shimstats");
  options.events = events;
  options.mounts = init.registry.Find<base::MountManager>(plugin::kMountManager, "bolt");
  options.runtime_of = [metadata](const std::string& name_space,
                                  const std::string& id) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const metadata::Container container,
                     metadata->containers().Get(base::Context(name_space), id));
    return container.runtime.name;
  };
  ASSIGN_OR_RETURN(auto supervisor, runtime::Supervisor::Open(std::move(options)));
  init.record.platforms = {HostPlatform()};
  init.record.exports["log-uri-schemes"] = "fifo,binary,binary-v2,file";
  if (settings->runc.valid()) ReportRunc(settings->runc.get(), init.record);
  runtime::Supervisor* borrowed = supervisor.get();
  return plugin::Instance::Of<runtime::Supervisor>(std::move(supervisor))
      .AlsoAs<runtime::TaskRuntime>(borrowed)
      .AlsoAs<base::MetricSource>(borrowed);
}

}  // namespace

runtime::ShimCommandOptions ShimOptions(const config::Config& config,
                                        const ShimSettings& settings) {
  std::error_code ignored;  // Without /proc the binary has no name; shims then cannot publish.
  return {.grpc_address = AddressOf(config, "grpc"),
          .ttrpc_address = AddressOf(config, "ttrpc"),
          .daemon_binary = std::filesystem::read_symlink("/proc/self/exe", ignored),
          .daemon_version = kVersion,
          .socket_dir = settings.socket_directory,
          .extra_environment = settings.environment};
}

void AddRuntime(plugin::Registry& registry) {
  registry.Add({.type = plugin::kShim,
                .id = "manager",
                .requirements = {},
                .schema = {{"env", std::vector<std::string>()}, {"socket_dir", std::string()}},
                .init = ReadShimSettings});
  registry.Add(
      {.type = plugin::kRuntime,
       .id = "task",
       .requirements = {plugin::kEvent, plugin::kMetadata, plugin::kMountManager, plugin::kShim},
       .schema = {{"platforms", std::vector<std::string>{HostPlatform()}}},
       .init = OpenSupervisor});
}

void AfterServing(const plugin::Registry& registry) {
  if (auto* sandboxes =
          registry.Find<runtime::SandboxSupervisor>(plugin::kSandboxController, "shim")) {
    sandboxes->Adopt();
  }
  if (auto* supervisor = registry.Find<runtime::Supervisor>(plugin::kRuntime, "task")) {
    supervisor->Adopt();
  }
  if (auto* monitor =
          registry.Find<restart::RestartMonitor>(plugin::kMonitorContainer, "restart")) {
    monitor->Start();
  }
  StartMetrics(registry);
}

}  // namespace ctrd::builtins
