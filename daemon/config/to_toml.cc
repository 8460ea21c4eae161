// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"
#include "daemon/config/config.h"

namespace ctrd::config {
namespace {

// A literal string where its bytes allow one, else a basic string.
std::string Text(std::string_view text) {
  const bool literal = text.find_first_of("'\n\r") == std::string_view::npos;
  if (literal) return fmt::format("'{}'", text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", c);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string List(const std::vector<std::string>& strings) {
  std::string list;
  for (const std::string& text : strings) list += (list.empty() ? "" : ", ") + Text(text);
  return "[" + list + "]";
}

std::string Inline(const Value& value);

std::string Inline(const Table& table) {
  std::string text;
  for (const auto& [key, value] : table) {
    text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", Text(key), Inline(value));
  }
  return "{" + text + "}";
}

struct InlinePrinter {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const {
    const std::string text = fmt::format("{}", value);
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  std::string operator()(const std::string& value) const { return Text(value); }
  std::string operator()(const std::vector<std::string>& value) const { return List(value); }
  std::string operator()(const Table& value) const { return Inline(value); }
  std::string operator()(const std::vector<Table>& value) const {
    std::string text;
    for (const Table& table : value) text += (text.empty() ? "" : ", ") + Inline(table);
    return "[" + text + "]";
  }
};

std::string Inline(const Value& value) {
  using Base = std::variant<bool, int64_t, double, std::string, std::vector<std::string>, Table,
                            std::vector<Table>>;
  return std::visit(InlinePrinter{}, static_cast<const Base&>(value));
}

std::string Named(std::string_view section, std::string_view name) {
  return fmt::format("\n  [{}.{}]\n", section, Text(name));
}

}  // namespace

std::string ToToml(const Config& config) {
  std::string out = fmt::format("version = {}\n", kVersion);
  out += fmt::format("root = {}\nstate = {}\ntemp = {}\n", Text(config.root), Text(config.state),
                     Text(config.temp));
  out += fmt::format("disabled_plugins = {}\nrequired_plugins = {}\noom_score = {}\nimports = {}\n",
                     List(config.disabled_plugins), List(config.required_plugins), config.oom_score,
                     List(config.imports));
  out += fmt::format("\n[debug]\n  level = {}\n  format = {}\n", Text(config.log_level),
                     Text(config.log_format));
  out += "\n[plugins]";
  for (const auto& [uri, section] : config.plugins) {
    if (section.values().empty()) continue;
    out += Named("plugins", uri);
    for (const auto& [key, value] : section.values()) {
      out += fmt::format("    {} = {}\n", key, Inline(value));
    }
  }
  out += fmt::format("\n[cgroup]\n  path = {}\n\n[timeouts]\n", Text(config.cgroup_path));
  for (const auto& [name, duration] : config.timeouts) {
    out += fmt::format("  {} = {}\n", Text(name), Text(base::FormatDuration(duration)));
  }
  out += "\n[stream_processors]";
  for (const auto& [name, processor] : config.stream_processors) {
    out += Named("stream_processors", name);
    out += fmt::format(
        "    accepts = {}\n    returns = {}\n    path = {}\n    args = {}\n    env = {}\n",
        List(processor.accepts), Text(processor.returns), Text(processor.path),
        List(processor.args), List(processor.env));
  }
  if (!config.proxy_plugins.empty()) out += "\n[proxy_plugins]";
  for (const auto& [name, proxy] : config.proxy_plugins) {
    out += Named("proxy_plugins", name);
    Table exports;
    for (const auto& [key, value] : proxy.exports) exports[key] = value;
    out += fmt::format(
        "    type = {}\n    address = {}\n    platform = {}\n    exports = {}\n    capabilities = "
        "{}\n",
        Text(proxy.type), Text(proxy.address), Text(proxy.platform), Inline(exports),
        List(proxy.capabilities));
  }
  return out;
}

}  // namespace ctrd::config
