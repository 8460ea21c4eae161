// SPDX-License-Identifier: Apache-2.0

// SnapshotDirectories is the folder "snapshots" of a driver, with one entry for each snapshot,
// named by its number. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "snapshots/snapshotter.h"
#include "snapshots/storage/file_system_sync.h"

namespace ctrd::snapshots {

class SnapshotDirectories {
 public:
  // Makes `root` and `root`/snapshots, both open to root only.
  static absl::StatusOr<std::unique_ptr<SnapshotDirectories>> Open(const std::string& root);

  const std::string& root() const { return root_; }
  std::string PathOf(uint64_t id) const;
  // Makes the new directories that an entry's creation made survive a power loss.
  absl::Status SyncEntry(uint64_t id);
  absl::Status SyncFiles() { return sync_.Sync(); }
  absl::StatusOr<std::vector<std::string>> List() const;
  absl::Status Discard(const std::string& name);

 private:
  SnapshotDirectories(std::string root, base::UniqueFd folder, base::UniqueFd for_sync)
      : root_(std::move(root)), folder_(std::move(folder)), sync_(std::move(for_sync)) {}

  const std::string root_;
  const base::UniqueFd folder_;
  FileSystemSync sync_;
};

// Makes directory `path` with exactly this mode and owner.
absl::Status MakeOwnedDirectory(const std::string& path, mode_t mode, uid_t uid, gid_t gid);

absl::StatusOr<Usage> MeasureFiles(const std::string& path);

// The host's ids of the container's root where labels map ids.
struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};
inline constexpr std::string_view kUidMapLabel = "containerd.io/snapshot/uidmapping";
inline constexpr std::string_view kGidMapLabel = "containerd.io/snapshot/gidmapping";
// nullopt: no labels. kInvalidArgument: they map nothing to root, or are no maps.
absl::StatusOr<std::optional<Owner>> MappedRoot(const Labels& labels);

}  // namespace ctrd::snapshots
