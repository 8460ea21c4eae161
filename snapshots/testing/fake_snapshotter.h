// SPDX-License-Identifier: Apache-2.0

// FakeSnapshotter keeps the contract of snapshots/snapshotter.h in memory, for tests of what stands
// on a snapshotter. Its mounts are binds of directories that do not exist.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/synchronization/mutex.h"
#include "snapshots/snapshotter.h"

namespace ctrd::snapshots {

class FakeSnapshotter : public Snapshotter {
 public:
  absl::StatusOr<base::Mounts> Prepare(const base::Context& context, std::string_view key,
                                       std::string_view parent, const Labels& labels) override;
  absl::StatusOr<base::Mounts> View(const base::Context& context, std::string_view key,
                                    std::string_view parent, const Labels& labels) override;
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

  // What tests may want to say and know.
  void SetUsage(std::string_view key, Usage usage);
  void FailNext(absl::Status status);  // The next call but Cleanup answers this, without effect.
  int cleanups() const;

 private:
  struct Record {
    Info info;
    Usage usage;
    int id = 0;
  };
  using Records = std::map<std::string, Record, std::less<>>;

  absl::StatusOr<base::Mounts> Add(Kind kind, std::string_view key, std::string_view parent,
                                   const Labels& labels);
  absl::Status TakeFailure() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Record*> Find(std::string_view key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckParent(std::string_view parent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  base::Mounts MountsFor(const Record& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  Records records_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  int last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  int cleanups_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ctrd::snapshots
