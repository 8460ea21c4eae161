// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/metadata/collectible_mounts.h"
#include "daemon/metadata/database.h"
#include "daemon/metadata/gc_graph.h"
#include "daemon/metadata/snapshot_records.h"
#include "images/content/content_store.h"

namespace ctrd::metadata {

// One run of the collector: mark and sweep of records in one transaction, then the back ends that
// lost something. Runs are not concurrent; everything else may be.
class Collection {
 public:
  // All borrowed. `content_claims` are those of the content records over `backend`.
  Collection(Database& database, content::ContentStore& backend, Claims& content_claims,
             std::vector<SnapshotRecords*> snapshotters)
      : database_(database),
        backend_(backend),
        content_claims_(content_claims),
        snapshotters_(std::move(snapshotters)) {}

  // Collects what the mount manager has, too. Before the first run; borrowed.
  void CollectMounts(CollectibleMounts* mounts) { mounts_ = mounts; }

  struct Result {
    absl::Status status;    // Of mark and sweep; trouble in a back end is logged, and tried again.
    absl::Duration locked;  // Time of mark and sweep, in which writers wait.
  };
  Result Run();

 private:
  struct Swept {
    std::string namespace_name;
    gc::Garbage garbage;
  };

  absl::Status MarkAndSweep(std::vector<Swept>& swept);
  absl::Status Sweep(WriteTransaction& write, const Swept& swept);
  void Report(const std::vector<Swept>& swept);
  void MarkDirty(const std::vector<Swept>& swept);
  absl::Status CleanContent();
  absl::Status CleanSnapshots(SnapshotRecords& snapshotter);
  // What records name: digests and backend refs, or the driver's names.
  absl::StatusOr<std::set<std::string>> NamedContent();
  absl::StatusOr<std::set<std::string>> NamedSnapshots(std::string_view snapshotter);

  Database& database_;
  content::ContentStore& backend_;
  Claims& content_claims_;
  const std::vector<SnapshotRecords*> snapshotters_;
  CollectibleMounts* mounts_ = nullptr;  // Null where there is no mount manager.
};

}  // namespace ctrd::metadata
