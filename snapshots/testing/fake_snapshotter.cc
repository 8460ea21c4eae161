// SPDX-License-Identifier: Apache-2.0
#include "snapshots/testing/fake_snapshotter.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::snapshots {

absl::StatusOr<base::Mounts> FakeSnapshotter::Prepare(const base::Context&, std::string_view key,
                                                      std::string_view parent,
                                                      const Labels& labels) {
  return Add(Kind::kActive, key, parent, labels);
}

absl::StatusOr<base::Mounts> FakeSnapshotter::View(const base::Context&, std::string_view key,
                                                   std::string_view parent, const Labels& labels) {
  return Add(Kind::kView, key, parent, labels);
}

absl::StatusOr<base::Mounts> FakeSnapshotter::Add(Kind kind, std::string_view key,
                                                  std::string_view parent, const Labels& labels) {
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(TakeFailure());
  if (key.empty()) return base::InvalidArgument("snapshot key must not be empty");
  if (records_.contains(key)) return SnapshotAlreadyExists(key);
  RETURN_IF_ERROR(CheckParent(parent));
  const absl::Time now = absl::Now();
  Record record{.info = {.kind = kind,
                         .name = std::string(key),
                         .parent = std::string(parent),
                         .labels = {},
                         .created = now,
                         .updated = now},
                .usage = {},
                .id = ++last_id_};
  ApplyLabels(labels, LabelsUpdate{}, record.info.labels);
  base::Mounts mounts = MountsFor(record);
  records_.emplace(key, std::move(record));
  return mounts;
}

absl::StatusOr<base::Mounts> FakeSnapshotter::MountsOf(const base::Context&, std::string_view key) {
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(TakeFailure());
  ASSIGN_OR_RETURN(const Record* record, Find(key));
  if (record->info.kind == Kind::kCommitted) {
    return base::FailedPrecondition("requested snapshot {} not active or view", key);
  }
  return MountsFor(*record);
}

absl::Status FakeSnapshotter::Commit(const base::Context&, std::string_view name,
                                     std::string_view key, const Labels& labels,
                                     std::string_view parent) {
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(TakeFailure());
  if (name.empty()) return base::InvalidArgument("snapshot name must not be empty");
  if (records_.contains(name)) return SnapshotAlreadyExists(name);
  ASSIGN_OR_RETURN(Record * active, Find(key));
  if (active->info.kind != Kind::kActive) {
    return base::FailedPrecondition("snapshot {} is not active", base::Quote(key));
  }
  Record record = *active;
  if (record.info.parent.empty()) {
    RETURN_IF_ERROR(CheckParent(parent));
    record.info.parent = parent;
  }
  record.info.kind = Kind::kCommitted;
  record.info.name = name;
  record.info.created = record.info.updated = absl::Now();
  ApplyLabels(labels, LabelsUpdate{}, record.info.labels);
  records_.erase(records_.find(key));
  records_.emplace(name, std::move(record));
  return absl::OkStatus();
}

absl::Status FakeSnapshotter::Remove(const base::Context&, std::string_view key) {
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(TakeFailure());
  RETURN_IF_ERROR(Find(key).status());
  const auto is_child = [key](const auto& entry) { return entry.second.info.parent == key; };
  if (std::ranges::any_of(records_, is_child)) {
    return base::FailedPrecondition("cannot remove snapshot with child");
  }
  records_.erase(records_.find(key));
  return absl::OkStatus();
}

absl::StatusOr<Info> FakeSnapshotter::Stat(const base::Context&, std::string_view key) {
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(TakeFailure());
  ASSIGN_OR_RETURN(const Record* record, Find(key));
  return record->info;
}

absl::StatusOr<Info> FakeSnapshotter::Update(const base::Context&, const Info& info,
                                             const LabelsUpdate& update) {
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(TakeFailure());
  ASSIGN_OR_RETURN(Record * record, Find(info.name));
  ApplyLabels(info.labels, update, record->info.labels);
  record->info.updated = absl::Now();
  return record->info;
}

absl::Status FakeSnapshotter::Walk(const base::Context&, const base::Filter& filter,
                                   const std::function<absl::Status(const Info&)>& visit) {
  std::vector<Info> matching;
  {
    const absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(TakeFailure());
    for (const auto& [key, record] : records_) {
      if (filter.Matches(FieldsOf(record.info))) matching.push_back(record.info);
    }
  }
  for (const Info& info : matching) RETURN_IF_ERROR(visit(info));
  return absl::OkStatus();
}

absl::StatusOr<Usage> FakeSnapshotter::UsageOf(const base::Context&, std::string_view key) {
  const absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(TakeFailure());
  ASSIGN_OR_RETURN(const Record* record, Find(key));
  return record->info.kind == Kind::kView ? Usage{} : record->usage;
}

absl::Status FakeSnapshotter::Cleanup(const base::Context&) {
  const absl::MutexLock lock(&mutex_);
  ++cleanups_;
  return absl::OkStatus();
}

void FakeSnapshotter::SetUsage(std::string_view key, Usage usage) {
  const absl::MutexLock lock(&mutex_);
  if (const auto found = records_.find(key); found != records_.end()) found->second.usage = usage;
}

void FakeSnapshotter::FailNext(absl::Status status) {
  const absl::MutexLock lock(&mutex_);
  failure_ = std::move(status);
}

int FakeSnapshotter::cleanups() const {
  const absl::MutexLock lock(&mutex_);
  return cleanups_;
}

absl::Status FakeSnapshotter::TakeFailure() { return std::exchange(failure_, absl::OkStatus()); }

absl::StatusOr<FakeSnapshotter::Record*> FakeSnapshotter::Find(std::string_view key) {
  const auto found = records_.find(key);
  if (found == records_.end()) return SnapshotNotFound(key);
  return &found->second;
}

absl::Status FakeSnapshotter::CheckParent(std::string_view parent) {
  if (parent.empty()) return absl::OkStatus();
  const auto found = records_.find(parent);
  if (found == records_.end()) {
    return base::NotFound("parent snapshot {} does not exist", parent);
  }
  if (found->second.info.kind != Kind::kCommitted) {
    return base::InvalidArgument("failed to create snapshot: parent {} is not committed snapshot",
                                 base::Quote(parent));
  }
  return absl::OkStatus();
}

base::Mounts FakeSnapshotter::MountsFor(const Record& record) const {
  const bool read_only = record.info.kind == Kind::kView;
  return {{.type = "bind",
           .source = fmt::format("/fake/snapshots/{}", record.id),
           .target = "",
           .options = {read_only ? "ro" : "rw", "rbind"}}};
}

}  // namespace ctrd::snapshots
