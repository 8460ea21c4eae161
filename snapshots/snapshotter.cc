// SPDX-License-Identifier: Apache-2.0
#include "snapshots/snapshotter.h"

#include "base/status.h"

namespace ctrd::snapshots {

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kView:
      return "view";
    case Kind::kActive:
      return "active";
    case Kind::kCommitted:
      return "committed";
  }
  return "unknown";
}

base::FieldLookup FieldsOf(const Info& info) {
  return [&info](const base::FieldPath& path) -> std::optional<std::string> {
    if (path.empty()) return std::nullopt;
    if (path[0] == "labels") {
      const auto label = info.labels.find(base::JoinFieldPath(path, 1));
      return label == info.labels.end() ? std::nullopt : std::optional(label->second);
    }
    if (path.size() > 1) return std::nullopt;
    if (path[0] == "name") return info.name;
    if (path[0] == "parent") return info.parent;
    if (path[0] == "kind") return std::string(KindName(info.kind));
    return std::nullopt;
  };
}

void ApplyLabels(const Labels& wanted, const LabelsUpdate& update, Labels& labels) {
  if (update.replace_all) {
    labels = wanted;
  } else {
    for (const std::string& key : update.keys) {
      const auto value = wanted.find(key);
      labels[key] = value == wanted.end() ? "" : value->second;
    }
  }
  std::erase_if(labels, [](const auto& label) { return label.second.empty(); });
}

absl::Status SnapshotNotFound(std::string_view key) {
  return base::NotFound("snapshot {} does not exist", key);
}

absl::Status SnapshotAlreadyExists(std::string_view key) {
  return base::AlreadyExists("snapshot {}", base::Quote(key));
}

}  // namespace ctrd::snapshots
