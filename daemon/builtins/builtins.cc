// SPDX-License-Identifier: Apache-2.0
#include "daemon/builtins/builtins.h"

#include <sys/utsname.h>

#include <string>

namespace ctrd::builtins {

std::string HostPlatform() {
  utsname host{};
  ::uname(&host);
  const std::string machine = host.machine;
  if (machine == "x86_64") return "linux/amd64";
  if (machine == "aarch64") return "linux/arm64";
  if (machine.starts_with("armv7")) return "linux/arm/v7";
  return "linux/" + machine;  // ppc64le, riscv64, s390x: the same word in both worlds.
}

void AddAll(plugin::Registry& registry) {
  AddContent(registry);
  AddSnapshotters(registry);
  AddMetadata(registry);
  AddDiff(registry);
  AddRuntime(registry);
  AddTransfer(registry);
  AddServices(registry);
  AddServers(registry);
}

}  // namespace ctrd::builtins
