// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/collection.h"

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"
#include "daemon/metadata/records.h"

namespace ctrd::metadata {
namespace {

using base::WireWriter;

absl::StatusOr<std::vector<std::string>> Namespaces(ReadTransaction& read) {
  ASSIGN_OR_RETURN(auto keys, KeysWithPrefix(read, store::Key({table::kNamespaces})));
  for (std::string& key : keys) key = store::SplitKey(key)[1];
  return keys;
}

std::set<std::string> Set(std::vector<std::string> names) {
  return {std::make_move_iterator(names.begin()), std::make_move_iterator(names.end())};
}

}  // namespace

Collection::Result Collection::Run() {
  const absl::Time start = absl::Now();
  std::vector<Swept> swept;
  Result result{.status = MarkAndSweep(swept), .locked = absl::Now() - start};
  if (!result.status.ok()) return result;
  MarkDirty(swept);
  Report(swept);
  for (const auto& [ns, garbage] : swept) {
    for (const CollectibleMount& mount : garbage.mounts) mounts_->CollectMount(ns, mount);
  }
  if (content_claims_.TakeDirty()) {
    if (const absl::Status status = CleanContent(); !status.ok()) {
      content_claims_.MarkDirty();
      base::LogWarn("content not cleaned up, trying again later", {{"error", status}});
    }
  }
  for (SnapshotRecords* snapshotter : snapshotters_) {
    if (!snapshotter->claims().TakeDirty()) continue;
    if (const absl::Status status = CleanSnapshots(*snapshotter); !status.ok()) {
      snapshotter->claims().MarkDirty();
      base::LogWarn("snapshots not cleaned up, trying again later",
                    {{"snapshotter", snapshotter->name()}, {"error", status}});
    }
  }
  return result;
}

absl::Status Collection::MarkAndSweep(std::vector<Swept>& swept) {
  const absl::Time now = absl::Now();
  const auto mark = [&](ReadTransaction& read) -> absl::Status {
    swept.clear();
    ASSIGN_OR_RETURN(const auto recorded, Namespaces(read));
    std::set<std::string> namespaces(recorded.begin(), recorded.end());
    if (mounts_ != nullptr) namespaces.merge(Set(mounts_->MountNamespaces()));
    for (const std::string& ns : namespaces) {
      std::vector<CollectibleMount> mounts;
      if (mounts_ != nullptr) mounts = mounts_->MountsOf(ns);
      ASSIGN_OR_RETURN(gc::Garbage garbage, gc::FindGarbage(read, ns, std::move(mounts), now));
      if (!garbage.empty()) swept.push_back({ns, std::move(garbage)});
    }
    return absl::OkStatus();
  };
  // A look first, which keeps no writer waiting: most of the time there is nothing to do.
  RETURN_IF_ERROR(database_.View(mark));
  if (swept.empty()) return absl::OkStatus();
  return database_.UpdateUnobserved([&](WriteTransaction& write) -> absl::Status {
    RETURN_IF_ERROR(mark(write));
    for (const Swept& part : swept) RETURN_IF_ERROR(Sweep(write, part));
    return absl::OkStatus();
  });
}

absl::Status Collection::Sweep(WriteTransaction& write, const Swept& swept) {
  const std::string& ns = swept.namespace_name;
  for (const std::string& lease : swept.garbage.leases) {
    RETURN_IF_ERROR(DeletePrefix(write, store::Key({table::kLeaseResources, ns, lease})));
    RETURN_IF_ERROR(write.Delete(store::Key({table::kLeases, ns, lease})));
  }
  for (const auto& [snapshotter, key, parent] : swept.garbage.snapshots) {
    RETURN_IF_ERROR(write.Delete(store::Key({table::kSnapshots, ns, snapshotter, key})));
    if (parent.empty()) continue;
    RETURN_IF_ERROR(
        write.Delete(store::Key({table::kSnapshotChildren, ns, snapshotter, parent, key})));
  }
  for (const std::string& ref : swept.garbage.ingests) {
    RETURN_IF_ERROR(write.Delete(store::Key({table::kIngests, ns, ref})));
  }
  for (const std::string& digest : swept.garbage.blobs) {
    RETURN_IF_ERROR(write.Delete(store::Key({table::kBlobs, ns, digest})));
  }
  for (const std::string& image : swept.garbage.images) {
    RETURN_IF_ERROR(write.Delete(store::Key({table::kImages, ns, image})));
  }
  return absl::OkStatus();
}

void Collection::MarkDirty(const std::vector<Swept>& swept) {
  for (const Swept& part : swept) {
    if (!part.garbage.blobs.empty() || !part.garbage.ingests.empty()) content_claims_.MarkDirty();
    for (const auto& snapshot : part.garbage.snapshots) {
      for (SnapshotRecords* snapshotter : snapshotters_) {
        if (snapshotter->name() == snapshot.snapshotter) snapshotter->claims().MarkDirty();
      }
    }
  }
}

void Collection::Report(const std::vector<Swept>& swept) {
  for (const auto& [ns, garbage] : swept) {
    base::LogDebug("collected", {{"namespace", ns},
                                 {"leases", garbage.leases.size()},
                                 {"snapshots", garbage.snapshots.size()},
                                 {"ingests", garbage.ingests.size()},
                                 {"blobs", garbage.blobs.size()},
                                 {"images", garbage.images.size()},
                                 {"mounts", garbage.mounts.size()}});
    // Nobody is there to tell that an event was refused; the records are gone all the same.
    for (const auto& snapshot : garbage.snapshots) {
      (void)database_.Publish(
          ns, "/snapshot/remove", "containerd.events.SnapshotRemove",
          WireWriter().Bytes(1, snapshot.key).Bytes(5, snapshot.snapshotter).Take());
    }
    for (const std::string& image : garbage.images) {
      (void)database_.Publish(ns, "/images/delete", "containerd.services.images.v1.ImageDelete",
                              WireWriter().Bytes(1, image).Take());
    }
  }
}

}  // namespace ctrd::metadata
