// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/identifiers.h"
#include "base/status.h"
#include "base/time.h"
#include "daemon/config/config.h"
#include "daemon/config/read_files.h"
#include "daemon/config/toml.h"

namespace ctrd::config {
namespace {

std::string_view TypeName(const Value& value) {
  static constexpr std::string_view kNames[] = {
      "boolean", "integer", "float", "string", "array of strings", "table", "array of tables"};
  return kNames[value.index()];
}

absl::Status WrongType(const toml::node& node, std::string_view key, std::string_view wanted) {
  const toml::source_region& source = node.source();
  return absl::InvalidArgumentError(base::ToAbsl(fmt::format(
      "failed to unmarshal TOML at row {} column {} of {}: key '{}' must be a {}",
      source.begin.line, source.begin.column, source.path ? *source.path : "?", key, wanted)));
}

absl::StatusOr<Value> ToValue(const toml::node& node, std::string_view key, const Value& like);

absl::StatusOr<Value> ToStrings(const toml::node& node, std::string_view key) {
  std::vector<std::string> strings;
  const toml::array* array = node.as_array();
  if (array == nullptr) return WrongType(node, key, "array of strings");
  for (const toml::node& element : *array) {
    if (!element.is_string()) return WrongType(element, key, "array of strings");
    strings.push_back(element.as_string()->get());
  }
  return Value(std::move(strings));
}

// Whatever stands there, for tables whose keys are checked by those who read them.
absl::StatusOr<Value> ToAnyValue(const toml::node& node, std::string_view key) {
  if (node.is_boolean()) return Value(node.as_boolean()->get());
  if (node.is_integer()) return Value(node.as_integer()->get());
  if (node.is_floating_point()) return Value(node.as_floating_point()->get());
  if (node.is_string()) return Value(node.as_string()->get());
  if (node.is_array()) return ToStrings(node, key);
  if (node.is_table()) return ToValue(node, key, Value(Table()));
  return WrongType(node, key, "boolean, number, string, list or table");
}

absl::StatusOr<Table> ToTable(const toml::node& node, std::string_view key) {
  if (!node.is_table()) return WrongType(node, key, "table");
  Table table;
  for (const auto& [name, element] : *node.as_table()) {
    ASSIGN_OR_RETURN(table[std::string(name.str())], ToAnyValue(element, name.str()));
  }
  return table;
}

absl::StatusOr<Value> ToValue(const toml::node& node, std::string_view key, const Value& like) {
  if (std::holds_alternative<bool>(like) && node.is_boolean()) {
    return Value(node.as_boolean()->get());
  }
  if (std::holds_alternative<int64_t>(like) && node.is_integer()) {
    return Value(node.as_integer()->get());
  }
  if (std::holds_alternative<double>(like) && node.is_number()) {
    return Value(*node.value<double>());
  }
  if (std::holds_alternative<std::string>(like) && node.is_string()) {
    return Value(node.as_string()->get());
  }
  if (std::holds_alternative<std::vector<std::string>>(like)) return ToStrings(node, key);
  if (std::holds_alternative<Table>(like)) {
    ASSIGN_OR_RETURN(Table table, ToTable(node, key));
    return Value(std::move(table));
  }
  if (std::holds_alternative<std::vector<Table>>(like) && node.is_array()) {
    std::vector<Table> tables;
    for (const toml::node& element : *node.as_array()) {
      ASSIGN_OR_RETURN(tables.emplace_back(), ToTable(element, key));
    }
    return Value(std::move(tables));
  }
  return WrongType(node, key, TypeName(like));
}

// Reads the keys of `schema` from `table` over the values that are there.
absl::Status ReadKeys(const toml::table& table, const Schema& schema, std::string_view where,
                      const Warn& warn, Table& values) {
  for (const auto& [name, node] : table) {
    const Key* known = nullptr;
    for (const Key& key : schema) {
      if (key.name == name.str()) known = &key;
    }
    if (known == nullptr) {
      warn(fmt::format("Ignoring unknown key in TOML{}: '{}' at line {}", where, name.str(),
                       node.source().begin.line));
      continue;
    }
    ASSIGN_OR_RETURN(values[known->name], ToValue(node, name.str(), known->default_value));
  }
  return absl::OkStatus();
}

absl::Status CheckUris(const std::vector<std::string>& uris, std::string_view what) {
  for (const std::string& uri : uris) {
    if (uri.find('.') == std::string::npos) {
      return absl::InvalidArgumentError(base::ToAbsl(fmt::format(
          "invalid {} plugin URI {} expect io.containerd.x.vx", what, base::Quote(uri))));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTopLevel(const toml::table& file, const Warn& warn, Config& config) {
  static const Schema kSchema = {
      {"version", int64_t{0}},
      {"root", std::string()},
      {"state", std::string()},
      {"temp", std::string()},
      {"oom_score", int64_t{0}},
      {"disabled_plugins", std::vector<std::string>()},
      {"imports", std::vector<std::string>()},
      {"required_plugins", std::vector<std::string>()},
      {"debug", Table()},
      {"cgroup", Table()},
      {"timeouts", Table()},
      {"stream_processors", Table()},
      {"proxy_plugins", Table()},
      {"plugins", Table()},
      // Sections of older versions whose keys have moved; what is left in them is unknown.
      {"grpc", Table()},
      {"ttrpc", Table()},
      {"metrics", Table()},
  };
  Table values;
  for (const Key& key : kSchema) {
    const toml::node* node = file.get(key.name);
    if (node == nullptr || key.name == "plugins") continue;
    ASSIGN_OR_RETURN(values[key.name], ToValue(*node, key.name, key.default_value));
  }
  for (const auto& [name, node] : file) {
    const bool known = std::any_of(kSchema.begin(), kSchema.end(),
                                   [&](const Key& key) { return key.name == name.str(); });
    if (!known) {
      warn(fmt::format("Ignoring unknown key in TOML: '{}' at line {}", name.str(),
                       node.source().begin.line));
    }
  }
  const auto text = [&](const char* key, std::string& target) {
    if (!values.contains(key)) return;
    if (const auto& value = std::get<std::string>(values[key]); !value.empty()) target = value;
  };
  text("root", config.root);
  text("state", config.state);
  text("temp", config.temp);
  if (values.contains("oom_score")) config.oom_score = std::get<int64_t>(values["oom_score"]);
  const auto list = [&](const char* key, std::vector<std::string>& target) {
    if (values.contains(key)) target = std::get<std::vector<std::string>>(values[key]);
  };
  list("disabled_plugins", config.disabled_plugins);
  list("required_plugins", config.required_plugins);
  config.imports.clear();
  list("imports", config.imports);
  RETURN_IF_ERROR(CheckUris(config.disabled_plugins, "disabled"));
  return CheckUris(config.required_plugins, "required");
}

absl::Status ReadDebugAndCgroup(const toml::table& file, const Warn& warn, Config& config) {
  static const Schema kDebug = {
      {"level", std::string()}, {"format", std::string()}, {"log_trace_id", false}};
  static const Schema kCgroup = {{"path", std::string()}};
  if (const toml::table* debug = file["debug"].as_table()) {
    Table values;
    RETURN_IF_ERROR(ReadKeys(*debug, kDebug, " (debug)", warn, values));
    if (values.contains("level")) config.log_level = std::get<std::string>(values["level"]);
    if (values.contains("format")) config.log_format = std::get<std::string>(values["format"]);
  }
  if (const toml::table* cgroup = file["cgroup"].as_table()) {
    Table values;
    RETURN_IF_ERROR(ReadKeys(*cgroup, kCgroup, " (cgroup)", warn, values));
    if (values.contains("path")) config.cgroup_path = std::get<std::string>(values["path"]);
  }
  return absl::OkStatus();
}

absl::Status ReadTimeouts(const toml::table& file, Config& config) {
  const toml::table* timeouts = file["timeouts"].as_table();
  if (timeouts == nullptr) return absl::OkStatus();
  for (const auto& [name, node] : *timeouts) {
    if (!node.is_string()) return WrongType(node, name.str(), "string");
    const std::optional<absl::Duration> duration = base::ParseDuration(node.as_string()->get());
    if (!duration) {
      return absl::InvalidArgumentError(base::ToAbsl(
          fmt::format("unable to parse {} into a time duration", node.as_string()->get())));
    }
    config.timeouts[std::string(name.str())] = *duration;
  }
  return absl::OkStatus();
}

absl::StatusOr<Table> ReadNamed(const toml::node& node, std::string_view name, const Schema& schema,
                                const Warn& warn) {
  if (!node.is_table()) return WrongType(node, name, "table");
  Table values;
  for (const Key& key : schema) values[key.name] = key.default_value;
  RETURN_IF_ERROR(ReadKeys(*node.as_table(), schema, fmt::format(" ({})", name), warn, values));
  return values;
}

absl::Status ReadProcessorsAndProxies(const toml::table& file, const Warn& warn, Config& config) {
  using Strings = std::vector<std::string>;
  static const Schema kProcessor = {{"accepts", Strings()},
                                    {"returns", std::string()},
                                    {"path", std::string()},
                                    {"args", Strings()},
                                    {"env", Strings()}};
  static const Schema kProxy = {{"type", std::string()},
                                {"address", std::string()},
                                {"platform", std::string()},
                                {"exports", Table()},
                                {"capabilities", Strings()}};
  if (const toml::table* processors = file["stream_processors"].as_table()) {
    config.stream_processors.clear();
    for (const auto& [name, node] : *processors) {
      ASSIGN_OR_RETURN(Table values, ReadNamed(node, name.str(), kProcessor, warn));
      config.stream_processors[std::string(name.str())] = {
          .accepts = std::get<Strings>(values["accepts"]),
          .returns = std::get<std::string>(values["returns"]),
          .path = std::get<std::string>(values["path"]),
          .args = std::get<Strings>(values["args"]),
          .env = std::get<Strings>(values["env"])};
    }
  }
  if (const toml::table* proxies = file["proxy_plugins"].as_table()) {
    for (const auto& [name, node] : *proxies) {
      ASSIGN_OR_RETURN(Table values, ReadNamed(node, name.str(), kProxy, warn));
      ProxyPlugin& proxy = config.proxy_plugins[std::string(name.str())];
      proxy = {.type = std::get<std::string>(values["type"]),
               .address = std::get<std::string>(values["address"]),
               .platform = std::get<std::string>(values["platform"]),
               .exports = {},
               .capabilities = std::get<Strings>(values["capabilities"])};
      for (const auto& [key, value] : std::get<Table>(values["exports"])) {
        if (const auto* exported = std::get_if<std::string>(&value)) proxy.exports[key] = *exported;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ReadPlugins(const toml::table& file, const Schemas& schemas, const Warn& warn,
                         Config& config) {
  const toml::node* node = file.get("plugins");
  if (node == nullptr) return absl::OkStatus();
  if (!node->is_table()) return WrongType(*node, "plugins", "table");
  for (const auto& [uri, section] : *node->as_table()) {
    const auto schema = schemas.find(std::string(uri.str()));
    if (schema == schemas.end()) continue;
    if (!section.is_table()) return WrongType(section, uri.str(), "table");
    Table values = config.plugins[schema->first].values();
    RETURN_IF_ERROR(ReadKeys(*section.as_table(), schema->second,
                             fmt::format(" for plugin {}", uri.str()), warn, values));
    config.plugins[schema->first] = Section(std::move(values));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Config> LoadConfig(const std::string& path, const Schemas& schemas,
                                  const Warn& warn) {
  ASSIGN_OR_RETURN(const toml::table file, ReadFiles(path, warn));
  Config config = DefaultConfig(schemas);
  RETURN_IF_ERROR(ReadTopLevel(file, warn, config));
  RETURN_IF_ERROR(ReadDebugAndCgroup(file, warn, config));
  RETURN_IF_ERROR(ReadTimeouts(file, config));
  RETURN_IF_ERROR(ReadProcessorsAndProxies(file, warn, config));
  RETURN_IF_ERROR(ReadPlugins(file, schemas, warn, config));
  return config;
}

}  // namespace ctrd::config
