// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/builtins/diff.h"
#include "daemon/metadata/metadata.h"
#include "daemon/services/streams.h"
#include "images/spec/platform.h"
#include "images/transfer/transfer.h"

namespace ctrd::builtins {
namespace {

using metadata::Metadata;

// The pair that every host has.
std::vector<config::Table> DefaultTargets() {
  return {{{"platform", HostPlatform()},
           {"snapshotter", std::string("overlayfs")},
           {"differ", std::string("walking")}}};
}

absl::StatusOr<std::string> Text(const config::Table& table, const std::string& key) {
  const auto it = table.find(key);
  if (it == table.end()) return std::string();
  if (const auto* text = std::get_if<std::string>(&it->second)) return *text;
  return base::InvalidArgument("unpack_config: '{}' must be a string", key);
}

bool Has(const plugin::Registry& registry, const std::string& snapshotter,
         const std::string& capability) {
  for (const plugin::Record* record : registry.records()) {
    if (record->type != plugin::kSnapshotter || record->id != snapshotter) continue;
    const auto& all = record->capabilities;
    return std::find(all.begin(), all.end(), capability) != all.end();
  }
  return false;
}

absl::StatusOr<transfer::UnpackTarget> TargetOf(const plugin::InitContext& init, Metadata& metadata,
                                                const config::Table& table) {
  transfer::UnpackTarget target;
  ASSIGN_OR_RETURN(const std::string platform, Text(table, "platform"));
  ASSIGN_OR_RETURN(target.platform, images::ParsePlatform(platform));
  ASSIGN_OR_RETURN(target.snapshotter_name, Text(table, "snapshotter"));
  ASSIGN_OR_RETURN(const std::string differ, Text(table, "differ"));
  target.snapshotter = metadata.snapshotter(target.snapshotter_name);
  if (target.snapshotter == nullptr) {
    return base::NotFound("snapshotter '{}'", target.snapshotter_name);
  }
  ASSIGN_OR_RETURN(target.differ, init.registry.Get<diff::Differ>(
                                      plugin::kDiffer, differ.empty() ? "walking" : differ));
  // What the walking differ does can be done while the bytes still arrive.
  if (differ.empty() || differ == "walking") {
    target.streaming = WalkingOptionsOf(init);
    target.rebase = Has(init.registry, target.snapshotter_name, "rebase");
  }
  return target;
}

bool IsOptional(const config::Table& table) {
  const auto it = table.find("optional");
  const bool* optional = it == table.end() ? nullptr : std::get_if<bool>(&it->second);
  return optional != nullptr && *optional;
}

absl::StatusOr<plugin::Instance> OpenTransfer(plugin::InitContext& init) {
  ASSIGN_OR_RETURN(auto* metadata, init.registry.Get<Metadata>(plugin::kMetadata, "bolt"));
  transfer::TransferConfig config;
  config.max_concurrent_downloads =
      static_cast<int>(init.section.Integer("max_concurrent_downloads"));
  config.max_concurrent_uploads =
      static_cast<int>(init.section.Integer("max_concurrent_uploaded_layers"));
  config.max_concurrent_unpacks =
      std::max(static_cast<int>(init.section.Integer("max_concurrent_unpacks")), 1);
  config.check_platform_supported = init.section.Bool("check_platform_supported");
  if (const std::string& path = init.section.String("config_path"); !path.empty()) {
    config.host_directories = {path};
  }
  for (const config::Table& table : init.section.Tables("unpack_config")) {
    absl::StatusOr<transfer::UnpackTarget> target = TargetOf(init, *metadata, table);
    if (!target.ok() && IsOptional(table)) continue;
    if (!target.ok()) return target.status();
    config.unpack_targets.push_back(*std::move(target));
  }
  ASSIGN_OR_RETURN(auto transfer, transfer::CreateTransfer({.content = &metadata->content(),
                                                            .images = &metadata->images(),
                                                            .leases = &metadata->leases()},
                                                           std::move(config)));
  return plugin::Instance::Of<transfer::Transfer>(std::move(transfer));
}

}  // namespace

void AddTransfer(plugin::Registry& registry) {
  registry.Add({.type = plugin::kTransfer,
                .id = "local",
                .requirements = {plugin::kMetadata, plugin::kLease, plugin::kDiffer},
                .schema = {{"max_concurrent_downloads", int64_t{3}},
                           {"max_concurrent_uploaded_layers", int64_t{3}},
                           {"max_concurrent_unpacks", int64_t{3}},
                           {"check_platform_supported", false},
                           {"config_path", std::string()},
                           {"unpack_config", DefaultTargets()}},
                .init = OpenTransfer});
  registry.Add({.type = plugin::kStreaming,
                .id = "manager",
                .requirements = {},
                .schema = {},
                .init = [](plugin::InitContext&) -> absl::StatusOr<plugin::Instance> {
                  return plugin::Instance::Of<services::Streams>(
                      std::make_unique<services::Streams>());
                }});
}

}  // namespace ctrd::builtins
