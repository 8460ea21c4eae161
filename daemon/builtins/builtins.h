// SPDX-License-Identifier: Apache-2.0

// The plugins this daemon is built of: the one place that names concrete drivers. One file each for
// what belongs together; AllPlugins adds them in the order in which clients see them.
#pragma once

#include <string>

#include "daemon/plugin/registry.h"

namespace ctrd::builtins {

// What every plugin of the host's kind reports: "linux/amd64".
std::string HostPlatform();

void AddOpt(plugin::Registry& registry);           // opt.cc
void AddContent(plugin::Registry& registry);       // content.cc
void AddSnapshotters(plugin::Registry& registry);  // snapshotters.cc
void AddMetadata(plugin::Registry& registry);      // metadata.cc: events, metadata, leases, gc
void AddMounts(plugin::Registry& registry);        // mounts.cc: the mount manager
void AddDiff(plugin::Registry& registry);          // diff.cc
void AddRuntime(plugin::Registry& registry);       // runtime.cc: shims and tasks
void AddSandboxes(plugin::Registry& registry);     // sandboxes.cc: their records and shims
void AddTransfer(plugin::Registry& registry);      // transfer.cc: streaming and transfer
void AddServices(plugin::Registry& registry);      // services.cc: what the gRPC socket serves
void AddMonitors(plugin::Registry& registry);      // monitors.cc: who watches containers
void AddMetrics(plugin::Registry& registry);       // metrics.cc: collectors and their endpoint
void AddServers(plugin::Registry& registry);       // servers.cc: the sockets

void AddAll(plugin::Registry& registry);

// Lets the metrics endpoint answer, if there is one.
void StartMetrics(const plugin::Registry& registry);

// What begins only when clients are served already: finding the tasks that run, starting again
// those that should.
void AfterServing(const plugin::Registry& registry);

}  // namespace ctrd::builtins
