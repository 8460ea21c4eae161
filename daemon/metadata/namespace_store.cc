// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/namespace_store.h"

#include "base/status.h"
#include "base/wire.h"
#include "daemon/metadata/labels.h"
#include "daemon/metadata/records.h"
#include "fmt/ranges.h"

namespace ctrd::metadata {
namespace {

using base::Quote;

std::string KeyOf(std::string_view name) { return store::Key({table::kNamespaces, name}); }

std::string Payload(const Namespace& ns) {
  return base::WireWriter().Bytes(1, ns.name).StringMap(2, ns.labels).Take();
}

absl::Status ApplyMask(base::Labels& labels, const Namespace& wanted,
                       const std::vector<std::string>& mask) {
  if (mask.empty()) labels = wanted.labels;
  for (const std::string& path : mask) {
    const auto key = KeyOfPath(path, "labels");
    if (!key) return base::InvalidArgument("cannot update {} field", Quote(path));
    SetLabel(labels, wanted.labels, *key);
  }
  return absl::OkStatus();
}

// What keeps a namespace from being deleted, in the words of the error.
absl::StatusOr<std::vector<std::string>> Remains(ReadTransaction& read, std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
      {table::kImages, "images"}, {table::kBlobs, "blobs"}, {table::kContainers, "containers"}};
  std::vector<std::string> remains;
  for (const auto& [table, word] : kKinds) {
    ASSIGN_OR_RETURN(const bool any, AnyWithPrefix(read, store::Key({table, name})));
    if (any) remains.emplace_back(word);
  }
  ASSIGN_OR_RETURN(const auto snapshotters,
                   KeysWithPrefix(read, store::Key({table::kSnapshotters, name})));
  for (const std::string& key : snapshotters) {
    const std::string snapshotter = store::SplitKey(key)[2];
    ASSIGN_OR_RETURN(const bool any,
                     AnyWithPrefix(read, store::Key({table::kSnapshots, name, snapshotter})));
    if (any) remains.push_back(fmt::format("snapshots on {} snapshotter", Quote(snapshotter)));
  }
  return remains;
}

}  // namespace

absl::StatusOr<Namespace> NamespaceStore::Get(const base::Context&, std::string_view name) {
  Namespace found{.name = std::string(name), .labels = {}};
  if (!base::ValidateIdentifier(name).ok()) return found;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(const auto record, Find<NamespaceRecord>(read, KeyOf(name)));
    if (record) found.labels = record->labels;
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::vector<Namespace>> NamespaceStore::List(const base::Context&) {
  std::vector<Namespace> all;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(store::Key({table::kNamespaces}),
                     [&](std::string_view key, std::string_view value) {
                       NamespaceRecord record;
                       Decode(value, record);
                       all.push_back({store::SplitKey(key)[1], std::move(record.labels)});
                       return true;
                     });
  }));
  return all;
}

absl::StatusOr<Namespace> NamespaceStore::Create(const base::Context&, const Namespace& wanted) {
  RETURN_IF_ERROR(base::ValidateIdentifier(wanted.name));
  ASSIGN_OR_RETURN(const base::Labels labels, CheckLabels(wanted.labels, "namespace.Labels"));
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool exists, Exists(write, KeyOf(wanted.name)));
    if (exists) return base::AlreadyExists("namespace {}", Quote(wanted.name));
    return write.Put(KeyOf(wanted.name), Encode(NamespaceRecord{labels}));
  }));
  RETURN_IF_ERROR(database_.Publish(wanted.name, "/namespaces/create",
                                    "containerd.events.NamespaceCreate", Payload(wanted)));
  return wanted;
}

absl::StatusOr<Namespace> NamespaceStore::Update(const base::Context&, const Namespace& wanted,
                                                 const std::vector<std::string>& mask) {
  RETURN_IF_ERROR(base::ValidateIdentifier(wanted.name));
  Namespace updated{.name = wanted.name, .labels = {}};
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(auto record, Find<NamespaceRecord>(write, KeyOf(wanted.name)));
    base::Labels labels = record ? record->labels : base::Labels();
    RETURN_IF_ERROR(ApplyMask(labels, wanted, mask));
    ASSIGN_OR_RETURN(updated.labels, CheckLabels(labels, "namespace.Labels"));
    return write.Put(KeyOf(wanted.name), Encode(NamespaceRecord{updated.labels}));
  }));
  RETURN_IF_ERROR(database_.Publish(wanted.name, "/namespaces/update",
                                    "containerd.events.NamespaceUpdate", Payload(wanted)));
  return updated;
}

absl::Status NamespaceStore::Delete(const base::Context&, std::string_view name) {
  RETURN_IF_ERROR(database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        ASSIGN_OR_RETURN(const bool exists, Exists(write, KeyOf(name)));
        if (!exists) return base::NotFound("namespace {}", Quote(name));
        ASSIGN_OR_RETURN(const auto remains, Remains(write, name));
        if (!remains.empty()) {
          return base::FailedPrecondition("namespace {} must be empty, but it still has {}",
                                          Quote(name), fmt::join(remains, ", "));
        }
        for (const std::string_view table :
             {table::kLeases, table::kLeaseResources, table::kIngests, table::kSandboxes,
              table::kSnapshotters, table::kSnapshotChildren}) {
          RETURN_IF_ERROR(DeletePrefix(write, store::Key({table, name})));
        }
        return write.Delete(KeyOf(name));
      },
      Change::kDeletion));
  return database_.Publish(name, "/namespaces/delete", "containerd.events.NamespaceDelete",
                           base::WireWriter().Bytes(1, name).Take());
}

}  // namespace ctrd::metadata
