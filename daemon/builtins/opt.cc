// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>

#include "base/files.h"
#include "base/status.h"
#include "daemon/builtins/builtins.h"

namespace ctrd::builtins {
namespace {

void PutInFront(const char* variable, const std::string& directory) {
  const char* old = std::getenv(variable);
  const bool has_old = old != nullptr && *old != '\0';
  ::setenv(variable, (has_old ? directory + ":" + old : directory).c_str(), 1);
}

// Where `ctr install` puts binaries that the daemon, its shims among them, shall find.
absl::StatusOr<plugin::Instance> OfferDirectory(plugin::InitContext& init) {
  const std::string& path = init.section.String("path");
  for (const auto& [variable, name] : {std::pair{"PATH", "bin"}, {"LD_LIBRARY_PATH", "lib"}}) {
    const std::string directory = path + "/" + name;
    RETURN_IF_ERROR(base::MakeDirectories(directory, 0711));
    PutInFront(variable, directory);
  }
  init.record.exports["path"] = path;
  return plugin::Instance();
}

}  // namespace

void AddOpt(plugin::Registry& registry) {
  registry.Add({.type = plugin::kInternal,
                .id = "opt",
                .requirements = {},
                .schema = {{"path", std::string("/opt/containerd")}},
                .init = OfferDirectory});
}

}  // namespace ctrd::builtins
