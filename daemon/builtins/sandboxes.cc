// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/builtins/shims.h"
#include "daemon/metadata/metadata.h"
#include "runtime/supervisor/sandbox_supervisor.h"

namespace ctrd::builtins {
namespace {

absl::StatusOr<plugin::Instance> OfferSandboxStore(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata,
                   init.registry.Get<metadata::Metadata>(plugin::kMetadata, "bolt"));
  return plugin::Instance().AlsoAs<metadata::SandboxStore>(&metadata->sandboxes());
}

absl::StatusOr<plugin::Instance> OpenSandboxes(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* settings, init.registry.Get<ShimSettings>(plugin::kShim, "manager"));
  runtime::SandboxOptions options;
  options.root_dir = init.root_dir;
  options.state_dir = init.state_dir;
  options.shims = ShimOptions(init.config, *settings);
  options.shim_load = init.config.Timeout("shim.load");
  options.shim_cleanup = init.config.Timeout("shim.cleanup");
  options.shim_shutdown = init.config.Timeout("shim.shutdown");
  ASSIGN_OR_RETURN(auto sandboxes, runtime::SandboxSupervisor::Open(std::move(options)));
  runtime::SandboxSupervisor* borrowed = sandboxes.get();
  return plugin::Instance::Of<runtime::SandboxSupervisor>(std::move(sandboxes))
      .AlsoAs<runtime::SandboxRuntime>(borrowed);
}

}  // namespace

void AddSandboxes(plugin::Registry& registry) {
  registry.Add({.type = plugin::kSandboxStore,
                .id = "local",
                .requirements = {plugin::kMetadata},
                .schema = {},
                .init = OfferSandboxStore});
  registry.Add({.type = plugin::kSandboxController,
                .id = "shim",
                .requirements = {plugin::kShim, plugin::kEvent},
                .schema = {},
                .init = OpenSandboxes});
}

}  // namespace ctrd::builtins
