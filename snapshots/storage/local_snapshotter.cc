// SPDX-License-Identifier: Apache-2.0
#include "snapshots/storage/local_snapshotter.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace ctrd::snapshots {
namespace {

using Discarding = LocalSnapshotterOptions::Discarding;

// The number that `name` is in decimal; 0 for any other name, which is no number of a snapshot.
uint64_t IdOf(std::string_view name) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole && name == std::to_string(id) ? id : 0;
}

class LocalSnapshotter : public Snapshotter {
 public:
  LocalSnapshotter(std::unique_ptr<RecordStore> records, std::unique_ptr<Disk> disk,
                   Discarding discarding)
      : records_(std::move(records)), disk_(std::move(disk)), discarding_(discarding) {}

  absl::StatusOr<base::Mounts> Prepare(const base::Context& context, std::string_view key,
                                       std::string_view parent, const Labels& labels) override {
    return Create(context, Kind::kActive, key, parent, labels);
  }
  absl::StatusOr<base::Mounts> View(const base::Context& context, std::string_view key,
                                    std::string_view parent, const Labels& labels) override {
    return Create(context, Kind::kView, key, parent, labels);
  }
  absl::StatusOr<base::Mounts> MountsOf(const base::Context& context,
                                        std::string_view key) override;
  absl::Status Commit(const base::Context& context, std::string_view name, std::string_view key,
                      const Labels& labels, std::string_view parent) override;
  absl::Status Remove(const base::Context& context, std::string_view key) override;
  absl::StatusOr<Info> Stat(const base::Context& context, std::string_view key) override;
  absl::StatusOr<Info> Update(const base::Context& context, const Info& info,
                              const LabelsUpdate& update) override;
  absl::Status Walk(const base::Context& context, const base::Filter& filter,
                    const std::function<absl::Status(const Info&)>& visit) override;
  absl::StatusOr<Usage> UsageOf(const base::Context& context, std::string_view key) override;
  absl::Status Cleanup(const base::Context& context) override;

  absl::Status DiscardGarbage(const base::Context& context);

 private:
  absl::StatusOr<base::Mounts> Create(const base::Context& context, Kind kind, std::string_view key,
                                      std::string_view parent, const Labels& labels);
  Info InfoOf(const Record& record) const;

  const std::unique_ptr<RecordStore> records_;
  const std::unique_ptr<Disk> disk_;
  const Discarding discarding_;
};

absl::StatusOr<base::Mounts> LocalSnapshotter::Create(const base::Context& context, Kind kind,
                                                      std::string_view key, std::string_view parent,
                                                      const Labels& labels) {
  RETURN_IF_ERROR(context.Check());
  const Reservation reservation = records_->Reserve();
  ASSIGN_OR_RETURN(const Record draft,
                   records_->Draft(kind, key, parent, labels, reservation.id()));
  // Files first, record second: a crash between them leaves files under a number that nothing
  // names. The other order would leave a snapshot without its files.
  absl::Status status = disk_->Create(draft);
  if (status.ok()) status = records_->Add(draft);
  if (!status.ok()) {
    (void)disk_->Discard(std::to_string(draft.id));  // What stays is garbage for Cleanup.
    return status;
  }
  return disk_->MountsFor(draft);
}

absl::StatusOr<base::Mounts> LocalSnapshotter::MountsOf(const base::Context& context,
                                                        std::string_view key) {
  RETURN_IF_ERROR(context.Check());
  ASSIGN_OR_RETURN(const Record record, records_->Find(key));
  if (record.info.kind == Kind::kCommitted) {
    return base::FailedPrecondition(
        "failed to get active mount: requested snapshot {} not active or view", key);
  }
  return disk_->MountsFor(record);
}

absl::Status LocalSnapshotter::Commit(const base::Context& context, std::string_view name,
                                      std::string_view key, const Labels& labels,
                                      std::string_view parent) {
  RETURN_IF_ERROR(context.Check());
  // Looked at before the long part, and decided inside the transaction.
  ASSIGN_OR_RETURN(const Record record, records_->FindForCommit(name, key, parent));
  ASSIGN_OR_RETURN(const Usage usage, disk_->Measure(record));
  // Data first: a committed snapshot never has files that a power loss can empty.
  RETURN_IF_ERROR(disk_->Flush(record));
  return records_->Commit(name, key, record.id, labels, parent, usage);
}

absl::Status LocalSnapshotter::Remove(const base::Context& context, std::string_view key) {
  RETURN_IF_ERROR(context.Check());
  ASSIGN_OR_RETURN(const Record record, records_->Remove(key));
  if (discarding_ == Discarding::kByCleanup) return absl::OkStatus();
  // The snapshot is gone either way; what resists is garbage from now on.
  const absl::Status status = disk_->Discard(std::to_string(record.id));
  if (!status.ok()) {
    base::LogWarn("files of a removed snapshot stay for now",
                  {{"snapshot", key}, {"id", record.id}, {"error", status}});
  }
  return absl::OkStatus();
}

absl::StatusOr<Info> LocalSnapshotter::Stat(const base::Context& context, std::string_view key) {
  RETURN_IF_ERROR(context.Check());
  ASSIGN_OR_RETURN(const Record record, records_->Find(key));
  return InfoOf(record);
}

absl::StatusOr<Info> LocalSnapshotter::Update(const base::Context& context, const Info& info,
                                              const LabelsUpdate& update) {
  RETURN_IF_ERROR(context.Check());
  ASSIGN_OR_RETURN(const Record record, records_->Update(info, update));
  return InfoOf(record);
}

absl::Status LocalSnapshotter::Walk(const base::Context& context, const base::Filter& filter,
                                    const std::function<absl::Status(const Info&)>& visit) {
  // All at once: a visitor may be slow, and a transaction should not be.
  ASSIGN_OR_RETURN(const std::vector<Record> records, records_->List());
  for (const Record& record : records) {
    RETURN_IF_ERROR(context.Check());
    const Info info = InfoOf(record);
    if (filter.Matches(FieldsOf(info))) RETURN_IF_ERROR(visit(info));
  }
  return absl::OkStatus();
}

absl::StatusOr<Usage> LocalSnapshotter::UsageOf(const base::Context& context,
                                                std::string_view key) {
  RETURN_IF_ERROR(context.Check());
  ASSIGN_OR_RETURN(const Record record, records_->Find(key));
  if (record.info.kind == Kind::kActive) return disk_->Measure(record);
  return record.usage;
}

absl::Status LocalSnapshotter::Cleanup(const base::Context& context) {
  if (discarding_ == Discarding::kAtOnce) return base::Unimplemented("cleanup");
  return DiscardGarbage(context);
}

absl::Status LocalSnapshotter::DiscardGarbage(const base::Context& context) {
  // First what is there, then what is in use: whatever appears in between is in neither list.
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_->List());
  ASSIGN_OR_RETURN(const std::set<uint64_t> in_use, records_->IdsInUse());
  absl::Status first;
  for (const std::string& name : names) {
    RETURN_IF_ERROR(context.Check());
    if (in_use.contains(IdOf(name))) continue;
    first.Update(disk_->Discard(name));
  }
  return first;
}

Info LocalSnapshotter::InfoOf(const Record& record) const {
  Info info = record.info;
  disk_->Describe(record, info);
  return info;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Snapshotter>> OpenLocalSnapshotter(
    const LocalSnapshotterOptions& options, std::unique_ptr<Disk> disk) {
  // Numbers of leftovers are not given out: Cleanup may be about to remove them.
  uint64_t first_id = 1;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, disk->List());
  for (const std::string& name : names) first_id = std::max(first_id, IdOf(name) + 1);
  ASSIGN_OR_RETURN(auto records, RecordStore::Open(options.root + "/metadata.lmdb", first_id));
  auto snapshotter =
      std::make_unique<LocalSnapshotter>(std::move(records), std::move(disk), options.discarding);
  if (options.discarding == Discarding::kAtOnce) {
    const absl::Status status = snapshotter->DiscardGarbage(base::Context());
    if (!status.ok()) {
      base::LogWarn("what removed snapshots left behind stays for now", {{"error", status}});
    }
  }
  return snapshotter;
}

}  // namespace ctrd::snapshots
