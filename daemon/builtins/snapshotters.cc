// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "snapshots/native/native_snapshotter.h"
#include "snapshots/overlay/overlay_snapshotter.h"

namespace ctrd::builtins {
namespace {

std::string RootOf(const plugin::InitContext& init) {
  const std::string& configured = init.section.String("root_path");
  return configured.empty() ? init.root_dir : configured;
}

void Describe(plugin::InitContext& init, const std::string& root,
              std::vector<std::string> capabilities) {
  init.record.platforms = {HostPlatform()};
  init.record.exports["root"] = root;
  init.record.capabilities = std::move(capabilities);
}

absl::StatusOr<plugin::Instance> OpenOverlay(plugin::InitContext& init) {
  const snapshots::OverlayOptions options{.root = RootOf(init),
                                          .upperdir_label = init.section.Bool("upperdir_label"),
                                          .sync_remove = init.section.Bool("sync_remove"),
                                          .slow_chown = init.section.Bool("slow_chown"),
                                          .mount_options = init.section.Strings("mount_options")};
  ASSIGN_OR_RETURN(auto driver, snapshots::OpenOverlaySnapshotter(options));
  Describe(init, options.root, snapshots::OverlayCapabilities(options));
  return plugin::Instance::Of<snapshots::Snapshotter>(std::move(driver));
}

absl::StatusOr<plugin::Instance> OpenNative(plugin::InitContext& init) {
  const std::string root = RootOf(init);
  ASSIGN_OR_RETURN(auto driver, snapshots::OpenNativeSnapshotter(root));
  Describe(init, root, {});
  return plugin::Instance::Of<snapshots::Snapshotter>(std::move(driver));
}

}  // namespace

void AddSnapshotters(plugin::Registry& registry) {
  registry.Add({.type = plugin::kSnapshotter,
                .id = "native",
                .requirements = {},
                .schema = {{"root_path", std::string()}},
                .init = OpenNative});
  registry.Add({.type = plugin::kSnapshotter,
                .id = "overlayfs",
                .requirements = {},
                .schema = {{"root_path", std::string()},
                           {"upperdir_label", false},
                           {"sync_remove", false},
                           {"slow_chown", false},
                           {"mount_options", std::vector<std::string>()}},
                .init = OpenOverlay});
}

}  // namespace ctrd::builtins
