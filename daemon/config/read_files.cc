// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/read_files.h"

#include <glob.h>

#include <algorithm>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/status.h"
#include "daemon/config/migrate.h"

namespace ctrd::config {
namespace {

constexpr size_t kMaxFileBytes = 4 << 20;

absl::StatusOr<toml::table> ParseFile(const std::string& path) {
  absl::StatusOr<std::string> text = base::ReadFile(path, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(
        base::ToAbsl(fmt::format("open {}: no such file or directory", path)));
  }
  if (!text.ok()) return text.status();
  toml::parse_result result = toml::parse(*text, path);
  if (!result) {
    const toml::source_position& at = result.error().source().begin;
    return absl::InvalidArgumentError(
        base::ToAbsl(fmt::format("failed to unmarshal TOML at row {} column {} of {}: {}", at.line,
                                 at.column, path, result.error().description())));
  }
  return std::move(result).table();
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::vector<std::string> ExpandImports(const toml::table& file, const std::string& path) {
  std::vector<std::string> paths;
  const toml::array* imports = file["imports"].as_array();
  if (imports == nullptr) return paths;
  for (const toml::node& node : *imports) {
    if (!node.is_string()) continue;  // ReadTopLevel refuses it.
    std::string pattern = node.as_string()->get();
    if (!pattern.starts_with('/')) pattern = DirectoryOf(path) + "/" + pattern;
    if (pattern.find('*') == std::string::npos) {
      paths.push_back(pattern);
      continue;
    }
    glob_t found{};
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
    }
    ::globfree(&found);
  }
  return paths;
}

bool IsZero(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get().empty();
  if (const auto* number = node.as_integer()) return number->get() == 0;
  if (const auto* flag = node.as_boolean()) return !flag->get();
  return false;
}

// Tables key by key; a scalar, even zero, and a list replace.
void MergeDeeply(toml::table& into, toml::table&& from) {
  for (auto&& [key, node] : from) {
    toml::table* target = into[key.str()].as_table();
    if (target != nullptr && node.is_table()) {
      MergeDeeply(*target, std::move(*node.as_table()));
    } else {
      into.insert_or_assign(key.str(), std::move(node));
    }
  }
}

void AppendNew(toml::array& into, toml::array&& from) {
  for (toml::node& node : from) {
    const auto* text = node.as_string();
    const bool known = text != nullptr && std::any_of(into.begin(), into.end(), [&](auto& other) {
                         return other.is_string() && other.as_string()->get() == text->get();
                       });
    if (!known) into.push_back(std::move(node));
  }
}

void MergeFile(toml::table& into, toml::table&& from) {
  for (auto&& [key, node] : from) {
    toml::node* old = into.get(key.str());
    if (old == nullptr) {
      into.insert_or_assign(key.str(), std::move(node));
    } else if (old->is_table() && node.is_table()) {
      // Named entries are replaced as a whole; only plugin sections are merged.
      if (key.str() == "plugins" || key.str() == "debug" || key.str() == "cgroup") {
        MergeDeeply(*old->as_table(), std::move(*node.as_table()));
      } else {
        for (auto&& [name, entry] : *node.as_table()) {
          old->as_table()->insert_or_assign(name.str(), std::move(entry));
        }
      }
    } else if (old->is_array() && node.is_array()) {
      AppendNew(*old->as_array(), std::move(*node.as_array()));
    } else if (!IsZero(node)) {
      into.insert_or_assign(key.str(), std::move(node));
    }
  }
}

}  // namespace

absl::StatusOr<toml::table> ReadFiles(const std::string& root_path, const Warn& warn) {
  toml::table merged;
  std::set<std::string> seen;
  std::deque<std::string> queue = {root_path};
  int root_version = 0;
  while (!queue.empty()) {
    const std::string path = queue.front();
    queue.pop_front();
    if (!seen.insert(path).second) continue;
    ASSIGN_OR_RETURN(toml::table file, ParseFile(path));
    ASSIGN_OR_RETURN(const int version, VersionOf(file, path));
    if (root_version == 0) root_version = version;
    if (version > root_version) {
      return absl::InvalidArgumentError(base::ToAbsl(
          fmt::format("drop-in config version {} higher than root config version {}: {}", version,
                      root_version, path)));
    }
    for (std::string& import : ExpandImports(file, path)) queue.push_back(std::move(import));
    if (version < kVersion) {
      warn(
          fmt::format("Configuration migrated from version {}, use `containerd config migrate` to "
                      "avoid migration: {}",
                      version, path));
    }
    Migrate(file, version, warn);
    MergeFile(merged, std::move(file));
  }
  return merged;
}

}  // namespace ctrd::config
