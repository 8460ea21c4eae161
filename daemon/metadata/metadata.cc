// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/metadata.h"

#include "base/status.h"
#include "base/store/store.h"
#include "daemon/metadata/collection.h"
#include "daemon/metadata/content_records.h"
#include "daemon/metadata/image_records.h"
#include "daemon/metadata/lease_store.h"
#include "daemon/metadata/snapshot_records.h"

namespace ctrd::metadata {
namespace {

struct NamedSnapshotter {
  Claims claims;
  std::unique_ptr<SnapshotRecords> records;
};

}  // namespace

// In the order in which they lean on each other; destroyed backwards.
struct Metadata::Parts {
  Parts(std::unique_ptr<store::Store> store, const MetadataOptions& options,
        content::ContentStore& backend, std::map<std::string, snapshots::Snapshotter*>& drivers,
        base::EventSink* events)
      : database(std::move(store), events),
        content(database, backend, content_claims, options.sharing == SharingPolicy::kShared),
        snapshotters(Wrap(database, drivers)),
        collection(database, backend, content_claims, All(snapshotters)),
        gc(collection) {
    database.SetObserver([this](Change change) { gc.Observe(change); });
  }

  using Snapshotters = std::map<std::string, NamedSnapshotter, std::less<>>;
  static Snapshotters Wrap(Database& database,
                           std::map<std::string, snapshots::Snapshotter*>& drivers) {
    Snapshotters wrapped;
    for (auto& [name, driver] : drivers) {
      NamedSnapshotter& entry = wrapped[name];
      entry.records = std::make_unique<SnapshotRecords>(database, name, *driver, entry.claims);
    }
    return wrapped;
  }
  static std::vector<SnapshotRecords*> All(Snapshotters& snapshotters) {
    std::vector<SnapshotRecords*> all;
    for (auto& [name, entry] : snapshotters) all.push_back(entry.records.get());
    return all;
  }

  Database database;
  NamespaceStore namespaces{database};
  ContainerStore containers{database};
  SandboxStore sandboxes{database};
  ImageRecords images{database};
  LeaseStore leases{database};
  Claims content_claims;
  ContentRecords content;
  Snapshotters snapshotters;
  Collection collection;
  GarbageCollector gc;
};

absl::StatusOr<SharingPolicy> ParseSharingPolicy(std::string_view text) {
  if (text == "shared") return SharingPolicy::kShared;
  if (text == "isolated") return SharingPolicy::kIsolated;
  return base::InvalidArgument("unknown policy: {}", text);
}

absl::StatusOr<std::unique_ptr<Metadata>> Metadata::Open(
    const MetadataOptions& options, content::ContentStore* backend,
    std::map<std::string, snapshots::Snapshotter*> drivers, base::EventSink* events) {
  ASSIGN_OR_RETURN(
      auto store,
      store::OpenStore(options.path, {.sync = options.sync, .lock_timeout = options.lock_timeout}));
  return std::unique_ptr<Metadata>(
      new Metadata(std::make_unique<Parts>(std::move(store), options, *backend, drivers, events)));
}

Metadata::Metadata(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Metadata::~Metadata() = default;

NamespaceStore& Metadata::namespaces() { return parts_->namespaces; }
ContainerStore& Metadata::containers() { return parts_->containers; }
SandboxStore& Metadata::sandboxes() { return parts_->sandboxes; }
images::ImageStore& Metadata::images() { return parts_->images; }
images::LeaseManager& Metadata::leases() { return parts_->leases; }
content::ContentStore& Metadata::content() { return parts_->content; }
GarbageCollector& Metadata::gc() { return parts_->gc; }
void Metadata::CollectMounts(CollectibleMounts* mounts) {
  parts_->collection.CollectMounts(mounts);
}

snapshots::Snapshotter* Metadata::snapshotter(std::string_view name) {
  const auto found = parts_->snapshotters.find(name);
  return found == parts_->snapshotters.end() ? nullptr : found->second.records.get();
}

std::vector<std::string> Metadata::snapshotter_names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : parts_->snapshotters) names.push_back(name);
  return names;
}

void Metadata::Report(base::MetricSink& sink) const {
  const store::Statistics statistics = parts_->database.statistics();
  sink.AddCounter("containerd_metadata_updates_total", "Changes to the metadata that were made.",
                  statistics.updates);
  sink.AddCounter("containerd_metadata_syncs_total",
                  "Writes to disk that made changes durable: one for all that wait.",
                  statistics.syncs);
  parts_->gc.Report(sink);
}

}  // namespace ctrd::metadata
