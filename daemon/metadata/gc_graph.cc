// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/gc_graph.h"

#include <set>
#include <unordered_map>

#include "base/status.h"
#include "daemon/metadata/container_record.h"
#include "daemon/metadata/gc_labels.h"
#include "daemon/metadata/records.h"
#include "daemon/metadata/sandbox_store.h"

namespace ctrd::metadata::gc {
namespace {

// How a node is kept: flat means that what its labels refer to is not kept with it.
enum class Mark { kNone, kFlat, kFull };

struct Node {
  Mark mark = Mark::kNone;
  std::vector<NodeId> parts;       // Kept with it in any case: parent, target, adopted blob.
  std::vector<NodeId> references;  // By labels, its own and back references of others.
  absl::Time used_at = absl::InfinitePast();
};

class Graph {
 public:
  Graph(store::ReadTransaction& read, std::string_view ns, std::vector<CollectibleMount> mounts,
        absl::Time now)
      : read_(read), namespace_(ns), now_(now) {
    candidates_.mounts = std::move(mounts);
  }

  absl::StatusOr<Garbage> FindGarbage();

 private:
  using VisitRecord = std::function<void(std::vector<std::string> key, std::string_view value)>;

  absl::Status Scan(std::string_view table, const VisitRecord& visit);
  absl::Status LoadBlobs();
  absl::Status LoadSnapshots();
  absl::Status LoadImages();
  absl::Status LoadIngests();
  absl::Status LoadContainers();
  absl::Status LoadSandboxes();
  absl::Status LoadLeases();
  void LoadMounts(const std::unordered_map<std::string, Mark>& live_leases);
  Node& Add(const NodeId& id, const base::Labels& labels);
  void AddBackReferences(const NodeId& id, const base::Labels& labels);
  void AddConditionals();
  void AddRoot(const NodeId& id, Mark mark = Mark::kFull) { roots_.emplace_back(id, mark); }
  void MarkReachable();
  bool IsGarbage(const NodeId& id) const { return nodes_.at(id).mark == Mark::kNone; }

  store::ReadTransaction& read_;
  const std::string_view namespace_;
  const absl::Time now_;
  std::unordered_map<NodeId, Node> nodes_;
  std::unordered_map<NodeId, std::vector<NodeId>> back_references_;  // Of the named node.
  std::vector<std::pair<NodeId, base::Labels>> conditional_;
  std::vector<std::pair<NodeId, Mark>> roots_;
  Garbage candidates_;
};

absl::Status Graph::Scan(std::string_view table, const VisitRecord& visit) {
  return read_.Scan(store::Key({table, namespace_}),
                    [&](std::string_view key, std::string_view value) {
                      visit(store::SplitKey(key), value);
                      return true;
                    });
}

Node& Graph::Add(const NodeId& id, const base::Labels& labels) {
  Node& node = nodes_[id];
  ForEachReference(labels, [&](const NodeId& other) { node.references.push_back(other); });
  return node;
}

void Graph::AddBackReferences(const NodeId& id, const base::Labels& labels) {
  ForEachBackReference(labels, [&](const NodeId& owner) { back_references_[owner].push_back(id); });
}

absl::Status Graph::LoadBlobs() {
  return Scan(table::kBlobs, [&](std::vector<std::string> key, std::string_view value) {
    BlobRecord record;
    Decode(value, record);
    const NodeId id = Content(key[2]);
    Add(id, record.labels);
    AddBackReferences(id, record.labels);
    if (IsRoot(record.labels)) AddRoot(id);
    conditional_.emplace_back(id, std::move(record.labels));
    candidates_.blobs.push_back(std::move(key[2]));
  });
}

absl::Status Graph::LoadSnapshots() {
  return Scan(table::kSnapshots, [&](std::vector<std::string> key, std::string_view value) {
    SnapshotRecord record;
    Decode(value, record);
    const NodeId id = Snapshot(key[2], key[3]);
    Node& node = Add(id, record.labels);
    if (!record.parent.empty()) node.parts.push_back(Snapshot(key[2], record.parent));
    node.used_at = UsedAt(record.labels);
    AddBackReferences(id, record.labels);
    if (IsRoot(record.labels)) AddRoot(id);
    candidates_.snapshots.push_back({std::move(key[2]), std::move(key[3]), record.parent});
  });
}

absl::Status Graph::LoadImages() {
  return Scan(table::kImages, [&](std::vector<std::string> key, std::string_view value) {
    images::Image image;
    Decode(value, image);
    const NodeId id = Image(key[2]);
    Add(id, image.labels).parts.push_back(Content(image.target.digest));
    if (IsExpired(image.labels, now_)) {
      AddBackReferences(id, image.labels);
    } else {
      AddRoot(id);
    }
    conditional_.emplace_back(id, std::move(image.labels));
    candidates_.images.push_back(std::move(key[2]));
  });
}

absl::Status Graph::LoadIngests() {
  return Scan(table::kIngests, [&](std::vector<std::string> key, std::string_view value) {
    IngestRecord record;
    Decode(value, record);
    const NodeId id = Ingest(key[2]);
    Node& node = nodes_[id];
    if (!record.expected.empty()) node.parts.push_back(Content(record.expected));
    const bool timed = record.expires != absl::InfiniteFuture();
    if (timed && record.expires > now_) AddRoot(id);
    candidates_.ingests.push_back(std::move(key[2]));
  });
}

absl::Status Graph::LoadContainers() {
  return Scan(table::kContainers, [&](std::vector<std::string> key, std::string_view value) {
    metadata::Container container;
    metadata::Decode(value, container);
    const NodeId id = Container(key[2]);
    Node& node = Add(id, container.labels);
    if (!container.snapshot_key.empty()) {
      node.parts.push_back(Snapshot(container.snapshotter, container.snapshot_key));
    }
    AddRoot(id);
  });
}

absl::Status Graph::LoadSandboxes() {
  return Scan(table::kSandboxes, [&](std::vector<std::string>, std::string_view value) {
    Sandbox sandbox;
    metadata::Decode(value, sandbox);
    ForEachReference(sandbox.labels, [&](const NodeId& id) { AddRoot(id); });
  });
}

NodeId ResourceNode(std::string_view type, std::string_view id) {
  constexpr std::string_view kSnapshotsPrefix = "snapshots/";
  if (type == "content") return Content(id);
  if (type == "images") return Image(id);
  if (type == "ingests") return Ingest(id);
  if (type.starts_with(kSnapshotsPrefix)) {
    return Snapshot(type.substr(kSnapshotsPrefix.size()), id);
  }
  return {};
}

absl::Status Graph::LoadLeases() {
  std::unordered_map<std::string, Mark> live;
  RETURN_IF_ERROR(Scan(table::kLeases, [&](std::vector<std::string> key, std::string_view value) {
    images::Lease lease;
    Decode(value, lease);
    if (IsExpired(lease.labels, now_)) {
      candidates_.leases.push_back(std::move(key[2]));
    } else {
      live.emplace(std::move(key[2]), IsFlat(lease.labels) ? Mark::kFlat : Mark::kFull);
    }
  }));
  LoadMounts(live);
  return Scan(table::kLeaseResources, [&](std::vector<std::string> key, std::string_view) {
    const auto lease = live.find(key[2]);
    if (lease != live.end()) AddRoot(ResourceNode(key[3], key[4]), lease->second);
  });
}

void Graph::LoadMounts(const std::unordered_map<std::string, Mark>& live_leases) {
  for (const CollectibleMount& mount : candidates_.mounts) {
    const NodeId id = ActiveMount(mount.name);
    Add(id, mount.labels);
    AddBackReferences(id, mount.labels);
    const auto lease = live_leases.find(mount.lease);
    if (lease != live_leases.end()) AddRoot(id, lease->second);
  }
}

// After all is loaded: a condition asks the snapshot it is about.
void Graph::AddConditionals() {
  const auto used_at = [&](const NodeId& id) {
    const auto node = nodes_.find(id);
    return node == nodes_.end() ? absl::InfinitePast() : node->second.used_at;
  };
  for (const auto& [id, labels] : conditional_) {
    Node& node = nodes_[id];
    ForEachConditional(labels, now_, used_at,
                       [&](const NodeId& snapshot) { node.references.push_back(snapshot); });
  }
  for (const auto& [owner, ids] : back_references_) {
    const auto node = nodes_.find(owner);
    if (node == nodes_.end()) continue;
    node->second.references.insert(node->second.references.end(), ids.begin(), ids.end());
  }
}

void Graph::MarkReachable() {
  std::vector<std::pair<NodeId, Mark>> pending = std::move(roots_);
  while (!pending.empty()) {
    const auto [id, mark] = std::move(pending.back());
    pending.pop_back();
    const auto found = nodes_.find(id);
    if (found == nodes_.end() || found->second.mark >= mark) continue;
    Node& node = found->second;
    node.mark = mark;
    for (const NodeId& part : node.parts) pending.emplace_back(part, mark);
    if (mark != Mark::kFull) continue;
    for (const NodeId& other : node.references) pending.emplace_back(other, Mark::kFull);
  }
}

absl::StatusOr<Garbage> Graph::FindGarbage() {
  RETURN_IF_ERROR(LoadBlobs());
  RETURN_IF_ERROR(LoadSnapshots());
  RETURN_IF_ERROR(LoadImages());
  RETURN_IF_ERROR(LoadIngests());
  RETURN_IF_ERROR(LoadContainers());
  RETURN_IF_ERROR(LoadSandboxes());
  RETURN_IF_ERROR(LoadLeases());
  AddConditionals();
  MarkReachable();
  std::erase_if(candidates_.blobs, [&](const auto& digest) { return !IsGarbage(Content(digest)); });
  std::erase_if(candidates_.images, [&](const auto& name) { return !IsGarbage(Image(name)); });
  std::erase_if(candidates_.ingests, [&](const auto& ref) { return !IsGarbage(Ingest(ref)); });
  std::erase_if(candidates_.snapshots, [&](const Garbage::SnapshotName& name) {
    return !IsGarbage(Snapshot(name.snapshotter, name.key));
  });
  std::erase_if(candidates_.mounts,
                [&](const CollectibleMount& mount) { return !IsGarbage(ActiveMount(mount.name)); });
  return std::move(candidates_);
}

}  // namespace

absl::StatusOr<Garbage> FindGarbage(store::ReadTransaction& read, std::string_view namespace_name,
                                    std::vector<CollectibleMount> mounts, absl::Time now) {
  return Graph(read, namespace_name, std::move(mounts), now).FindGarbage();
}

}  // namespace ctrd::metadata::gc
