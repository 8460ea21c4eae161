// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/migrate.h"

#include <map>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace ctrd::config {
namespace {

using StringMap = std::map<std::string_view, std::string_view>;

// Short names of version 1, beside those that follow a rule (UriOfShortName).
const StringMap& ShortNames() {
  static const auto* const names = new StringMap{
      {"cgroups", "io.containerd.monitor.v1.cgroups"},
      {"linux", "io.containerd.runtime.v1.linux"},
      {"scheduler", "io.containerd.gc.v1.scheduler"},
      {"bolt", "io.containerd.metadata.v1.bolt"},
      {"task", "io.containerd.runtime.v2.task"},
      {"opt", "io.containerd.internal.v1.opt"},
      {"restart", "io.containerd.internal.v1.restart"},
      {"tracing", "io.containerd.internal.v1.tracing"},
      {"otlp", "io.containerd.tracing.processor.v1.otlp"},
      {"aufs", "io.containerd.snapshotter.v1.aufs"},
      {"btrfs", "io.containerd.snapshotter.v1.btrfs"},
      {"devmapper", "io.containerd.snapshotter.v1.devmapper"},
      {"native", "io.containerd.snapshotter.v1.native"},
      {"overlayfs", "io.containerd.snapshotter.v1.overlayfs"},
      {"zfs", "io.containerd.snapshotter.v1.zfs"},
  };
  return *names;
}

// URIs of versions 1 and 2 that have another name in version 3.
const StringMap& RenamedInVersion3() {
  static const auto* const names = new StringMap{
      {"io.containerd.monitor.v1.cgroups", "io.containerd.monitor.task.v1.cgroups"},
      {"io.containerd.internal.v1.restart", "io.containerd.monitor.container.v1.restart"},
  };
  return *names;
}

std::string UriOfShortName(std::string_view name, const Warn& warn) {
  if (name.find('.') != std::string_view::npos) return std::string(name);
  if (const auto it = ShortNames().find(name); it != ShortNames().end()) {
    return std::string(it->second);
  }
  if (name.ends_with("-service")) return fmt::format("io.containerd.service.v1.{}", name);
  if (name != "cri") {
    warn(fmt::format("Unknown plugin name '{}' of version 1, taken for io.containerd.grpc.v1.{}",
                     name, name));
  }
  return fmt::format("io.containerd.grpc.v1.{}", name);
}

template <typename Rename>
void RenamePlugins(toml::table& file, const Rename& rename) {
  if (toml::table* plugins = file["plugins"].as_table()) {
    toml::table renamed;
    for (auto&& [key, node] : *plugins) {
      // A section that stands under its new name already wins over the one to be renamed.
      const std::string name = rename(key.str());
      if (name != key.str() && plugins->contains(name)) continue;
      renamed.insert_or_assign(name, std::move(node));
    }
    *plugins = std::move(renamed);
  }
  for (const char* list : {"disabled_plugins", "required_plugins"}) {
    toml::array* names = file[list].as_array();
    if (names == nullptr) continue;
    for (toml::node& node : *names) {
      if (auto* text = node.as_string()) *text = rename(text->get());
    }
  }
}

toml::table& SubTable(toml::table& parent, std::string_view key) {
  if (parent[key].as_table() == nullptr) parent.insert_or_assign(key, toml::table{});
  return *parent[key].as_table();
}

// Moves `keys` of the top-level section `from` to plugin `uri`, unless that has them.
void MoveKeys(toml::table& file, std::string_view from,
              std::initializer_list<std::string_view> keys, std::string_view uri,
              std::string_view strip_prefix = "") {
  toml::table* section = file[from].as_table();
  if (section == nullptr) return;
  for (const std::string_view key : keys) {
    toml::node* node = section->get(key);
    if (node == nullptr) continue;
    const std::string_view name =
        key.starts_with(strip_prefix) ? key.substr(strip_prefix.size()) : key;
    toml::table& target = SubTable(SubTable(file, "plugins"), uri);
    if (!target.contains(name)) target.insert_or_assign(name, std::move(*node));
    section->erase(key);
  }
}

// The option that became an entry of the shims' environment.
void MoveSchedCore(toml::table& file) {
  toml::table* task = file["plugins"]["io.containerd.runtime.v2.task"].as_table();
  if (task == nullptr || !task->contains("sched_core")) return;
  const bool wanted = (*task)["sched_core"].value_or(false);
  task->erase("sched_core");
  if (!wanted) return;
  toml::table& manager = SubTable(SubTable(file, "plugins"), "io.containerd.shim.v1.manager");
  if (manager["env"].as_array() == nullptr) manager.insert_or_assign("env", toml::array{});
  manager["env"].as_array()->push_back("SCHED_CORE=1");
}

void DeriveTtrpc(toml::table& file) {
  toml::table& plugins = SubTable(file, "plugins");
  const std::string grpc_address =
      plugins["io.containerd.server.v1.grpc"]["address"].value_or(std::string());
  if (grpc_address.empty()) return;
  toml::table& ttrpc = SubTable(plugins, "io.containerd.server.v1.ttrpc");
  if (!ttrpc["address"].value_or(std::string()).empty()) return;
  ttrpc.insert_or_assign("address", grpc_address + ".ttrpc");
  for (const char* owner : {"uid", "gid"}) {
    if (auto id = plugins["io.containerd.server.v1.grpc"][owner].value<int64_t>()) {
      ttrpc.insert_or_assign(owner, *id);
    }
  }
}

void ToVersion4(toml::table& file) {
  MoveKeys(file, "grpc",
           {"address", "uid", "gid", "max_recv_message_size", "max_send_message_size"},
           "io.containerd.server.v1.grpc");
  MoveKeys(file, "grpc",
           {"tcp_address", "tcp_tls_ca", "tcp_tls_cert", "tcp_tls_key", "tcp_tls_common_name"},
           "io.containerd.server.v1.grpc-tcp", "tcp_");
  MoveKeys(file, "ttrpc", {"address", "uid", "gid"}, "io.containerd.server.v1.ttrpc");
  MoveKeys(file, "debug", {"address", "uid", "gid"}, "io.containerd.server.v1.debug");
  MoveKeys(file, "metrics", {"address"}, "io.containerd.server.v1.metrics");
  MoveKeys(file, "metrics", {"grpc_histogram"}, "io.containerd.metrics.v1.grpc-prometheus");
  for (const char* emptied : {"grpc", "ttrpc", "metrics"}) {
    toml::table* section = file[emptied].as_table();
    if (section != nullptr && section->empty()) file.erase(emptied);
  }
  DeriveTtrpc(file);
}

}  // namespace

absl::StatusOr<int> VersionOf(const toml::table& file, const std::string& path) {
  const int64_t version = file["version"].value_or(int64_t{0});
  if (version > kVersion || version < 0) {
    return absl::InvalidArgumentError(base::ToAbsl(fmt::format(
        "failed to load TOML from {}: expected containerd config version equal to or less than "
        "`{}`, got `{}`",
        path, kVersion, version)));
  }
  return version == 0 ? 1 : static_cast<int>(version);
}

void Migrate(toml::table& file, int version, const Warn& warn) {
  if (version < 2) {
    RenamePlugins(file, [&](std::string_view name) { return UriOfShortName(name, warn); });
  }
  if (version < 3) {
    RenamePlugins(file, [](std::string_view name) {
      const auto it = RenamedInVersion3().find(name);
      return std::string(it == RenamedInVersion3().end() ? name : it->second);
    });
  }
  MoveSchedCore(file);
  if (version < 4) ToVersion4(file);
  file.insert_or_assign("version", int64_t{kVersion});
}

}  // namespace ctrd::config
