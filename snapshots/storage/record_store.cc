// SPDX-License-Identifier: Apache-2.0
#include "snapshots/storage/record_store.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/identifiers.h"
#include "base/status.h"
#include "snapshots/storage/record_codec.h"

namespace ctrd::snapshots {
namespace {

using store::ReadTransaction;
using store::WriteTransaction;

std::string RecordKey(std::string_view key) { return store::Key({"snapshot", key}); }
std::string ChildrenKey(uint64_t parent) {
  return store::Key({"child", fmt::format("{:016x}", parent)});
}
std::string ChildKey(uint64_t parent, uint64_t child) {
  return store::Key({"child", fmt::format("{:016x}", parent), fmt::format("{:016x}", child)});
}
std::string LastIdKey() { return store::Key({"last id"}); }

absl::StatusOr<std::optional<Record>> Get(ReadTransaction& read, std::string_view key) {
  if (key.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const auto value, read.Get(RecordKey(key)));
  if (!value.has_value()) return std::nullopt;
  ASSIGN_OR_RETURN(Record record, DecodeRecord(key, *value));
  return record;
}

absl::Status Put(WriteTransaction& write, const Record& record) {
  return write.Put(RecordKey(record.info.name), EncodeRecord(record));
}

absl::StatusOr<Record> GetExisting(ReadTransaction& read, std::string_view key) {
  ASSIGN_OR_RETURN(auto record, Get(read, key));
  if (!record.has_value()) return SnapshotNotFound(key);
  return *std::move(record);
}

// The numbers of `parent` and of its parents; empty for "".
absl::StatusOr<std::vector<uint64_t>> Lineage(ReadTransaction& read, std::string parent) {
  std::vector<uint64_t> ids;
  while (!parent.empty()) {
    ASSIGN_OR_RETURN(auto record, Get(read, parent));
    if (!record.has_value()) {
      return base::DataLoss("parent snapshot {} is gone", base::Quote(parent));
    }
    ids.push_back(record->id);
    parent = record->info.parent;
  }
  return ids;
}

absl::StatusOr<std::vector<uint64_t>> LineageOfNewChild(ReadTransaction& read,
                                                        std::string_view parent) {
  if (parent.empty()) return std::vector<uint64_t>();
  ASSIGN_OR_RETURN(auto record, Get(read, parent));
  if (!record.has_value()) return base::NotFound("parent snapshot {} does not exist", parent);
  if (record->info.kind != Kind::kCommitted) {
    return base::InvalidArgument("failed to create snapshot: parent {} is not committed snapshot",
                                 base::Quote(parent));
  }
  return Lineage(read, std::string(parent));
}

absl::Status CheckFree(ReadTransaction& read, std::string_view key) {
  if (key.empty()) return base::InvalidArgument("snapshot key must not be empty");
  ASSIGN_OR_RETURN(auto taken, Get(read, key));
  return taken.has_value() ? SnapshotAlreadyExists(key) : absl::OkStatus();
}

absl::StatusOr<bool> HasChildren(ReadTransaction& read, uint64_t id) {
  bool found = false;
  RETURN_IF_ERROR(read.Scan(ChildrenKey(id), [&found](std::string_view, std::string_view) {
    found = true;
    return false;
  }));
  return found;
}

// Numbers stay used after their snapshot is gone.
absl::Status RaiseLastId(WriteTransaction& write, uint64_t id) {
  ASSIGN_OR_RETURN(const auto value, write.Get(LastIdKey()));
  if (value.has_value() && DecodeId(*value) >= id) return absl::OkStatus();
  return write.Put(LastIdKey(), EncodeId(id));
}

absl::StatusOr<Record> ActiveToCommit(ReadTransaction& read, std::string_view name,
                                      std::string_view key) {
  RETURN_IF_ERROR(CheckFree(read, name));
  ASSIGN_OR_RETURN(Record record, GetExisting(read, key));
  if (record.info.kind != Kind::kActive) {
    return base::FailedPrecondition("failed to commit snapshot {}: snapshot {} is not active", key,
                                    base::Quote(key));
  }
  return record;
}

}  // namespace

Reservation::~Reservation() {
  if (store_ != nullptr) store_->Release(id_);
}

absl::StatusOr<std::unique_ptr<RecordStore>> RecordStore::Open(const std::string& path,
                                                               uint64_t first_id) {
  ASSIGN_OR_RETURN(auto store, store::OpenStore(path, {}));
  uint64_t last_id = 0;
  RETURN_IF_ERROR(store->View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(const auto value, read.Get(LastIdKey()));
    if (value.has_value()) last_id = DecodeId(*value);
    return absl::OkStatus();
  }));
  return std::unique_ptr<RecordStore>(
      new RecordStore(std::move(store), std::max(first_id, last_id + 1)));
}

Reservation RecordStore::Reserve() {
  const absl::MutexLock lock(&mutex_);
  const uint64_t id = next_id_++;
  reserved_.insert(id);
  return Reservation(this, id);
}

void RecordStore::Release(uint64_t id) {
  const absl::MutexLock lock(&mutex_);
  reserved_.erase(id);
}

absl::StatusOr<Record> RecordStore::Draft(Kind kind, std::string_view key, std::string_view parent,
                                          const Labels& labels, uint64_t id) {
  Record draft{.id = id};
  draft.info.kind = kind;
  draft.info.name = key;
  draft.info.parent = parent;
  ApplyLabels(labels, LabelsUpdate{}, draft.info.labels);
  RETURN_IF_ERROR(store_->View([&](ReadTransaction& read) -> absl::Status {
    RETURN_IF_ERROR(CheckFree(read, key));
    ASSIGN_OR_RETURN(draft.parent_ids, LineageOfNewChild(read, parent));
    return absl::OkStatus();
  }));
  return draft;
}

absl::Status RecordStore::Add(const Record& draft) {
  Record record = draft;
  record.info.created = record.info.updated = absl::Now();
  return store_->Update([&](WriteTransaction& write) -> absl::Status {
    RETURN_IF_ERROR(CheckFree(write, record.info.name));
    ASSIGN_OR_RETURN(const auto parents, LineageOfNewChild(write, record.info.parent));
    // Removed and made anew meanwhile: the files were made for another parent.
    if (parents != record.parent_ids) {
      return base::NotFound("parent snapshot {} does not exist", record.info.parent);
    }
    if (!parents.empty()) RETURN_IF_ERROR(write.Put(ChildKey(parents.front(), record.id), ""));
    RETURN_IF_ERROR(RaiseLastId(write, record.id));
    return Put(write, record);
  });
}

absl::StatusOr<Record> RecordStore::Find(std::string_view key) {
  Record record;
  RETURN_IF_ERROR(store_->View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(record, GetExisting(read, key));
    ASSIGN_OR_RETURN(record.parent_ids, Lineage(read, record.info.parent));
    return absl::OkStatus();
  }));
  return record;
}

absl::StatusOr<Record> RecordStore::FindForCommit(std::string_view name, std::string_view key,
                                                  std::string_view parent) {
  Record record;
  RETURN_IF_ERROR(store_->View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(record, ActiveToCommit(read, name, key));
    const bool rebases = record.info.parent.empty();
    ASSIGN_OR_RETURN(record.parent_ids,
                     rebases ? LineageOfNewChild(read, parent) : Lineage(read, record.info.parent));
    return absl::OkStatus();
  }));
  return record;
}

absl::Status RecordStore::Commit(std::string_view name, std::string_view key, uint64_t id,
                                 const Labels& labels, std::string_view parent,
                                 const Usage& usage) {
  const absl::Time now = absl::Now();
  return store_->Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(Record record, ActiveToCommit(write, name, key));
    // The usage given is another snapshot's: the key was removed and prepared anew.
    if (record.id != id) return SnapshotNotFound(key);
    if (record.info.parent.empty() && !parent.empty()) {
      ASSIGN_OR_RETURN(const auto parents, LineageOfNewChild(write, parent));
      RETURN_IF_ERROR(write.Put(ChildKey(parents.front(), id), ""));
      record.info.parent = parent;
    }
    record.info.kind = Kind::kCommitted;
    record.info.name = name;
    record.info.created = record.info.updated = now;
    record.usage = usage;
    ApplyLabels(labels, LabelsUpdate{}, record.info.labels);
    RETURN_IF_ERROR(write.Delete(RecordKey(key)));
    return Put(write, record);
  });
}

absl::StatusOr<Record> RecordStore::Remove(std::string_view key) {
  Record record;
  RETURN_IF_ERROR(store_->Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(record, GetExisting(write, key));
    ASSIGN_OR_RETURN(const bool has_children, HasChildren(write, record.id));
    if (has_children) return base::FailedPrecondition("cannot remove snapshot with child");
    ASSIGN_OR_RETURN(const auto parent, Get(write, record.info.parent));
    if (parent.has_value()) RETURN_IF_ERROR(write.Delete(ChildKey(parent->id, record.id)));
    return write.Delete(RecordKey(key));
  }));
  return record;
}

absl::StatusOr<Record> RecordStore::Update(const Info& info, const LabelsUpdate& update) {
  Record record;
  const absl::Time now = absl::Now();
  RETURN_IF_ERROR(store_->Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(record, GetExisting(write, info.name));
    ApplyLabels(info.labels, update, record.info.labels);
    record.info.updated = now;
    return Put(write, record);
  }));
  return record;
}

absl::StatusOr<std::vector<Record>> RecordStore::List() {
  std::vector<Record> records;
  absl::Status decoded;
  RETURN_IF_ERROR(store_->View([&](ReadTransaction& read) -> absl::Status {
    return read.Scan(store::Key({"snapshot"}), [&](std::string_view key, std::string_view value) {
      auto record = DecodeRecord(store::SplitKey(key).back(), value);
      if (record.ok()) records.push_back(*std::move(record));
      decoded.Update(record.status());
      return decoded.ok();
    });
  }));
  RETURN_IF_ERROR(decoded);
  return records;
}

absl::StatusOr<std::set<uint64_t>> RecordStore::IdsInUse() {
  std::set<uint64_t> ids;
  {
    // Reservations first: one that ends after this has its record by the time we look for it.
    const absl::MutexLock lock(&mutex_);
    ids = reserved_;
  }
  ASSIGN_OR_RETURN(const std::vector<Record> records, List());
  for (const Record& record : records) ids.insert(record.id);
  return ids;
}

}  // namespace ctrd::snapshots
