// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/metadata/metadata.h"
#include "images/diff/walking_differ.h"

namespace ctrd::builtins {
namespace {

absl::StatusOr<plugin::Instance> OpenWalking(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata,
                   init.registry.Get<metadata::Metadata>(plugin::kMetadata, "bolt"));
  diff::WalkingOptions options;
  options.temp_root = init.config.root + "/tmpmounts";
  for (const auto& [id, processor] : init.config.stream_processors) {
    options.processors.push_back({.id = id,
                                  .accepts = processor.accepts,
                                  .returns = processor.returns,
                                  .path = processor.path,
                                  .args = processor.args,
                                  .env = processor.env});
  }
  init.record.platforms = {HostPlatform()};
  return plugin::Instance::Of<diff::Differ>(
      diff::OpenWalkingDiffer(metadata->content(), std::move(options)));
}

}  // namespace

void AddDiff(plugin::Registry& registry) {
  registry.Add({.type = plugin::kDiffer,
                .id = "walking",
                .requirements = {plugin::kMetadata},
                .schema = {},
                .init = OpenWalking});
}

}  // namespace ctrd::builtins
