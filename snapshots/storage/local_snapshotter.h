// SPDX-License-Identifier: Apache-2.0

// The snapshotter of drivers that keep their files on this machine: records in a RecordStore, and
// a Disk for what differs between drivers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "snapshots/snapshotter.h"
#include "snapshots/storage/record_store.h"

namespace ctrd::snapshots {

// What a driver does with files. Thread-safe; called without locks held. A snapshot's files have
// the name of its number in decimal.
class Disk {
 public:
  virtual ~Disk() = default;

  // Makes the files of `draft`, durably. What a failure leaves is removed by Discard.
  virtual absl::Status Create(const Record& draft) = 0;
  virtual absl::StatusOr<base::Mounts> MountsFor(const Record& record) = 0;
  // Of an active snapshot.
  virtual absl::StatusOr<Usage> Measure(const Record& record) = 0;
  // Puts what was written into an active snapshot on disk, before it is committed.
  virtual absl::Status Flush(const Record& record) = 0;
  // The names of all that is there, and how to remove one.
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;
  virtual absl::Status Discard(const std::string& name) = 0;
  // Adds what clients may see of the files.
  virtual void Describe(const Record& record, Info& info) const = 0;
};

struct LocalSnapshotterOptions {
  std::string root;  // Exists; gets the file metadata.lmdb.
  // When a removed snapshot's files go: with it, and what a crash left at the next Open; or all of
  // it at Cleanup.
  enum class Discarding { kAtOnce, kByCleanup, kAtOnceAndByCleanup };
  Discarding discarding = Discarding::kAtOnce;
};
absl::StatusOr<std::unique_ptr<Snapshotter>> OpenLocalSnapshotter(
    const LocalSnapshotterOptions& options, std::unique_ptr<Disk> disk);

}  // namespace ctrd::snapshots
