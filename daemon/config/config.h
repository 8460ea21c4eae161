// SPDX-License-Identifier: Apache-2.0

// The daemon's configuration: config.toml of versions 1 to 4, its imports, and defaults.
//
// Lower versions are migrated in memory, file by file; later files win over earlier ones. Unknown
// keys warn, wrong types and bad syntax are refused with file and line.
//
// Source document: docs/operations.md.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/config/value.h"

namespace ctrd::config {

inline constexpr int kVersion = 4;
inline constexpr char kDefaultPath[] = "/etc/containerd/config.toml";
inline constexpr char kDefaultAddress[] = "/run/containerd/containerd.sock";

struct StreamProcessor {
  std::vector<std::string> accepts;
  std::string returns;
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
};

struct ProxyPlugin {
  std::string type;
  std::string address;
  std::string platform;
  std::map<std::string, std::string> exports;
  std::vector<std::string> capabilities;
};

struct Config {
  std::string root = "/var/lib/containerd";
  std::string state = "/run/containerd";
  std::string temp;
  std::vector<std::string> disabled_plugins;
  std::vector<std::string> required_plugins;
  int64_t oom_score = 0;
  std::vector<std::string> imports;
  std::string log_level;   // "" for info.
  std::string log_format;  // "" or "text", "json".
  std::string cgroup_path;
  std::map<std::string, absl::Duration>
      timeouts;  // Keys with their "io.containerd.timeout." prefix.
  std::map<std::string, StreamProcessor> stream_processors;
  std::map<std::string, ProxyPlugin> proxy_plugins;
  // By URI ("io.containerd.gc.v1.scheduler"): all plugins this daemon has, defaults filled in.
  std::map<std::string, Section> plugins;

  bool IsDisabled(const std::string& uri) const;
  // The timeout under "io.containerd.timeout.<name>"; one second for a name nobody knows.
  absl::Duration Timeout(std::string_view name) const;
};

// The keys of each plugin, by URI. What is not here is another daemon's plugin: ignored silently.
using Schemas = std::map<std::string, Schema>;

// Told what was ignored or migrated, one line each.
using Warn = std::function<void(const std::string& message)>;

// The configuration with nothing but defaults.
Config DefaultConfig(const Schemas& schemas);

// Reads `path` and all it imports.
//   kNotFound         `open <path>: no such file or directory`
//   kInvalidArgument  bad syntax, wrong type, bad value: the message names file and line
absl::StatusOr<Config> LoadConfig(const std::string& path, const Schemas& schemas,
                                  const Warn& warn);

// As TOML of the newest version, every key with its value.
std::string ToToml(const Config& config);

}  // namespace ctrd::config
