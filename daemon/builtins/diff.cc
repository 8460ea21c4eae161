// SPDX-License-Identifier: Apache-2.0
#include "daemon/builtins/diff.h"

#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/metadata/metadata.h"

namespace ctrd::builtins {
namespace {

absl::StatusOr<plugin::Instance> OpenWalking(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata,
                   init.registry.Get<metadata::Metadata>(plugin::kMetadata, "bolt"));
  init.record.platforms = {HostPlatform()};
  return plugin::Instance::Of<diff::Differ>(
      diff::OpenWalkingDiffer(metadata->content(), WalkingOptionsOf(init)));
}

absl::StatusOr<plugin::Instance> ChooseDiffers(plugin::InitContext& init) {
  auto chain = std::make_unique<DifferChain>();
  chain->sync_fs = init.section.Bool("sync_fs");
  for (const std::string& id : init.section.Strings("default")) {
    auto* differ = init.registry.Find<diff::Differ>(plugin::kDiffer, id);
    if (differ == nullptr) return base::Unknown("needed differ not loaded: {}", id);
    chain->differs.push_back(differ);
  }
  return plugin::Instance::Of<DifferChain>(std::move(chain));
}

}  // namespace

diff::WalkingOptions WalkingOptionsOf(const plugin::InitContext& init) {
  diff::WalkingOptions options;
  options.tmp_root = init.config.root + "/tmpmounts";
  options.mounts = init.registry.Find<base::MountManager>(plugin::kMountManager, "bolt");
  for (const auto& [id, processor] : init.config.stream_processors) {
    options.stream_processors.push_back({.id = id,
                                         .accepts = processor.accepts,
                                         .returns = processor.returns,
                                         .path = processor.path,
                                         .args = processor.args,
                                         .environment = processor.env});
  }
  return options;
}

void AddDiff(plugin::Registry& registry) {
  registry.Add({.type = plugin::kDiffer,
                .id = "walking",
                .requirements = {plugin::kMetadata, plugin::kMountManager},
                .schema = {},
                .init = OpenWalking});
  registry.Add({.type = plugin::kService,
                .id = "diff-service",
                .requirements = {plugin::kDiffer},
                .schema = {{"default", std::vector<std::string>{"walking"}}, {"sync_fs", false}},
                .init = ChooseDiffers});
}

}  // namespace ctrd::builtins
