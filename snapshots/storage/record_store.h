// SPDX-License-Identifier: Apache-2.0

// RecordStore: what local drivers know about their snapshots, in one base/store file.
//
// A snapshot's number names its files and is never used again. Files come first and the record
// second: a number is reserved, its files are made, and Add or nothing makes the snapshot exist.
// What lies on disk under a number that is neither reserved nor recorded is garbage.
//
// Thread-safe; every change is atomic and durable on return. Source document:
// docs/formats/snapshot-records.md.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/store/store.h"
#include "snapshots/snapshotter.h"

namespace ctrd::snapshots {

struct Record {
  uint64_t id = 0;
  Info info;
  Usage usage;                       // Of committed snapshots.
  std::vector<uint64_t> parent_ids;  // Nearest first.
};

class RecordStore;

// A number that is in use although no record has it yet.
class Reservation {
 public:
  Reservation(RecordStore* store, uint64_t id) : store_(store), id_(id) {}
  Reservation(Reservation&& other) noexcept
      : store_(std::exchange(other.store_, nullptr)), id_(other.id_) {}
  Reservation& operator=(Reservation&&) = delete;
  ~Reservation();
  uint64_t id() const { return id_; }

 private:
  RecordStore* store_;
  uint64_t id_;
};

class RecordStore {
 public:
  // `path` is the file; numbers below `first_id` are not given out.
  static absl::StatusOr<std::unique_ptr<RecordStore>> Open(const std::string& path,
                                                           uint64_t first_id);

  Reservation Reserve();

  // The record that Add would make, checked as Add checks.
  absl::StatusOr<Record> Draft(Kind kind, std::string_view key, std::string_view parent,
                               const Labels& labels, uint64_t id);
  absl::Status Add(const Record& draft);
  // With the numbers of its parents.
  absl::StatusOr<Record> Find(std::string_view key);
  // Whether Commit would do it; returns the active record.
  absl::StatusOr<Record> FindForCommit(std::string_view name, std::string_view key,
                                       std::string_view parent);
  absl::Status Commit(std::string_view name, std::string_view key, uint64_t id,
                      const Labels& labels, std::string_view parent, const Usage& usage);
  // The record that was.
  absl::StatusOr<Record> Remove(std::string_view key);
  absl::StatusOr<Record> Update(const Info& info, const LabelsUpdate& update);
  // All records, in order of the key, without the numbers of their parents.
  absl::StatusOr<std::vector<Record>> List();
  // The numbers in use, reserved ones too. Those that were in use before the call and still are
  // are all among them.
  absl::StatusOr<std::set<uint64_t>> IdsInUse();

 private:
  friend class Reservation;
  RecordStore(std::unique_ptr<store::Store> store, uint64_t first_id)
      : store_(std::move(store)), next_id_(first_id) {}
  void Release(uint64_t id);

  const std::unique_ptr<store::Store> store_;
  absl::Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> reserved_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctrd::snapshots
