// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/snapshot_labels.h"

namespace ctrd::metadata {

bool IsInherited(std::string_view key) {
  return key.starts_with("containerd.io/snapshot/") || key == kTargetLabel;
}

base::Labels InheritedLabels(const base::Labels& labels) {
  base::Labels inherited;
  for (const auto& [key, value] : labels) {
    if (IsInherited(key)) inherited.emplace(key, value);
  }
  return inherited;
}

std::string TargetOf(const base::Labels& labels) {
  const auto found = labels.find(std::string(kTargetLabel));
  return found == labels.end() ? "" : found->second;
}

snapshots::Info Overlay(snapshots::Info backend, std::string_view key, SnapshotRecord record) {
  record.labels.insert(backend.labels.begin(), backend.labels.end());  // The record's come first.
  return {.kind = backend.kind,
          .name = std::string(key),
          .parent = std::move(record.parent),
          .labels = std::move(record.labels),
          .created = record.created,
          .updated = record.updated};
}

}  // namespace ctrd::metadata
