// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/metadata/metadata.h"
#include "daemon/mounts/local_mount_manager.h"

namespace ctrd::builtins {
namespace {

// A type of mount that the manager takes over; the id is the type.
struct MountHandler {};

absl::StatusOr<plugin::Instance> OfferHandler(plugin::InitContext& init) {
  init.record.platforms = {HostPlatform()};
  return plugin::Instance::Of<MountHandler>(std::make_unique<MountHandler>());
}

// Tells the collector of the manager for as long as that is there.
struct CollectedMounts {
  CollectedMounts(metadata::Metadata& metadata, std::unique_ptr<mounts::LocalMountManager> manager)
      : metadata(metadata), manager(std::move(manager)) {
    metadata.CollectMounts(this->manager.get());
  }
  ~CollectedMounts() { metadata.CollectMounts(nullptr); }
  metadata::Metadata& metadata;
  const std::unique_ptr<mounts::LocalMountManager> manager;
};

absl::StatusOr<plugin::Instance> OpenManager(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata,
                   init.registry.Get<metadata::Metadata>(plugin::kMetadata, "bolt"));
  mounts::MountManagerOptions options{
      .directory = init.state_dir, .daemon_root = init.config.root, .handlers = {}};
  for (const auto& [type, handler] : init.registry.FindAll<MountHandler>(plugin::kMountHandler)) {
    options.handlers.push_back(type);
  }
  ASSIGN_OR_RETURN(auto manager, mounts::LocalMountManager::Open(options));
  base::MountManager* borrowed = manager.get();
  return plugin::Instance::Of<CollectedMounts>(
             std::make_unique<CollectedMounts>(*metadata, std::move(manager)))
      .AlsoAs<base::MountManager>(borrowed);
}

}  // namespace

void AddMounts(plugin::Registry& registry) {
  registry.Add({.type = plugin::kMountHandler,
                .id = "erofs",
                .requirements = {},
                .schema = {},
                .init = OfferHandler});
  registry.Add({.type = plugin::kMountManager,
                .id = "bolt",
                .requirements = {plugin::kMetadata, plugin::kMountHandler},
                .schema = {},
                .init = OpenManager});
}

}  // namespace ctrd::builtins
