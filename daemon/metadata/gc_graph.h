// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/store/store.h"
#include "daemon/metadata/collectible_mounts.h"

namespace ctrd::metadata::gc {

// What one namespace holds that nothing refers to any more, by name.
struct Garbage {
  struct SnapshotName {
    std::string snapshotter, key, parent;
  };
  std::vector<std::string> leases;  // Expired.
  std::vector<SnapshotName> snapshots;
  std::vector<std::string> ingests;
  std::vector<std::string> blobs;
  std::vector<std::string> images;  // Expired.
  std::vector<CollectibleMount> mounts;

  bool empty() const {
    return leases.empty() && snapshots.empty() && ingests.empty() && blobs.empty() &&
           images.empty() && mounts.empty();
  }
};

// Marks everything that can be reached in the namespace, whose activated mounts are `mounts`, and
// names the rest.
absl::StatusOr<Garbage> FindGarbage(store::ReadTransaction& read, std::string_view namespace_name,
                                    std::vector<CollectibleMount> mounts, absl::Time now);

}  // namespace ctrd::metadata::gc
