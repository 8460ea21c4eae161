// SPDX-License-Identifier: Apache-2.0
#include "daemon/builtins/builtins.h"

#include "images/spec/platform.h"

namespace ctrd::builtins {

std::string HostPlatform() { return images::FormatPlatform(images::HostPlatform()); }

void AddAll(plugin::Registry& registry) {
  AddOpt(registry);
  AddContent(registry);
  AddSnapshotters(registry);
  AddMetadata(registry);
  AddMounts(registry);
  AddDiff(registry);
  AddRuntime(registry);
  AddSandboxes(registry);
  AddTransfer(registry);
  AddServices(registry);
  AddMonitors(registry);
  AddMetrics(registry);
  AddServers(registry);
}

}  // namespace ctrd::builtins
