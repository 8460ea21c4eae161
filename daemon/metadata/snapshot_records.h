// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>

#include "daemon/metadata/claims.h"
#include "daemon/metadata/database.h"
#include "daemon/metadata/records.h"
#include "snapshots/snapshotter.h"

namespace ctrd::metadata {

// One snapshot driver as clients see it: by namespace, with all labels, leases and the protocol of
// target references. Publishes /snapshot/….
//
// In the driver a snapshot is called "<namespace>/<number>/<client's name>"; the number is used
// once. Remove takes the record away at once, what the driver keeps goes at the next garbage
// collection.
class SnapshotRecords final : public snapshots::Snapshotter {
 public:
  SnapshotRecords(Database& database, std::string name, snapshots::Snapshotter& driver,
                  Claims& claims);

  const std::string& name() const { return name_; }
  snapshots::Snapshotter& driver() { return driver_; }
  Claims& claims() { return claims_; }

  absl::StatusOr<base::Mounts> Prepare(const base::Context& context, std::string_view key,
                                       std::string_view parent,
                                       const base::Labels& labels) override;
  absl::StatusOr<base::Mounts> View(const base::Context& context, std::string_view key,
                                    std::string_view parent, const base::Labels& labels) override;
  absl::StatusOr<base::Mounts> MountsOf(const base::Context& context,
                                        std::string_view key) override;
  absl::Status Commit(const base::Context& context, std::string_view name, std::string_view key,
                      const base::Labels& labels, std::string_view parent) override;
  absl::Status Remove(const base::Context& context, std::string_view key) override;
  absl::StatusOr<snapshots::Info> Stat(const base::Context& context, std::string_view key) override;
  absl::StatusOr<snapshots::Info> Update(const base::Context& context, const snapshots::Info& info,
                                         const snapshots::LabelsUpdate& update) override;
  absl::Status Walk(const base::Context& context, const base::Filter& filter,
                    const std::function<absl::Status(const snapshots::Info&)>& visit) override;
  absl::StatusOr<snapshots::Usage> UsageOf(const base::Context& context,
                                           std::string_view key) override;
  // kUnimplemented: cleaning up is the collector's, on the driver.
  absl::Status Cleanup(const base::Context& context) override;

 private:
  struct Request {  // To make an active snapshot or a view.
    bool read_only = false;
    std::string key;
    std::string parent;
    std::string backend_parent;
    std::string target;  // The label containerd.io/snapshot.ref, "" for none.
    base::Labels labels;
  };

  absl::StatusOr<base::Mounts> Make(const base::Context& context, Request request);
  absl::Status AdoptTarget(const base::Context& context, const Request& request);
  // Fails with kAlreadyExists if `name` is taken; the lease gets what is there.
  absl::Status CheckFree(const base::Context& context, std::string_view name,
                         std::string_view taken_text);
  absl::StatusOr<SnapshotRecord> Load(const base::Context& context, std::string_view key,
                                      std::string_view what = "snapshot");
  absl::Status Insert(WriteTransaction& write, const base::Context& context, std::string_view key,
                      const SnapshotRecord& record);
  absl::Status Erase(WriteTransaction& write, const base::Context& context, std::string_view key,
                     const SnapshotRecord& record);
  std::string NewBackendName(const base::Context& context, std::string_view key);
  std::string KeyOf(const base::Context& context, std::string_view key) const;
  // Removes what the driver made for a record that did not come to be.
  void Discard(const base::Context& context, const std::string& backend_name);

  Database& database_;
  const std::string name_;
  const std::string resource_type_;  // "snapshots/<name>"
  snapshots::Snapshotter& driver_;
  Claims& claims_;
  std::atomic<int64_t> last_number_;
};

}  // namespace ctrd::metadata
