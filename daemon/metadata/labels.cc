// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/labels.h"

#include "base/status.h"

namespace ctrd::metadata {

absl::StatusOr<base::Labels> CheckLabels(const base::Labels& labels, std::string_view prefix) {
  RETURN_IF_ERROR(base::ValidateLabels(labels, prefix));
  base::Labels kept;
  for (const auto& [key, value] : labels) {
    if (value.empty()) continue;
    if (key.empty()) return absl::UnknownError("key required");
    kept.emplace(key, value);
  }
  return kept;
}

void SetLabel(base::Labels& stored, const base::Labels& wanted, const std::string& key) {
  const auto found = wanted.find(key);
  if (found == wanted.end() || found->second.empty()) {
    stored.erase(key);
  } else {
    stored[key] = found->second;
  }
}

std::optional<std::string> KeyOfPath(std::string_view path, std::string_view word) {
  if (!path.starts_with(word) || path.substr(word.size(), 1) != ".") return std::nullopt;
  return std::string(path.substr(word.size() + 1));
}

}  // namespace ctrd::metadata
