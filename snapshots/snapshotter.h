// SPDX-License-Identifier: Apache-2.0

// Snapshotter: the contract every snapshot driver keeps.
//
//   Prepare(key, parent) --> active --Commit(name)--> committed --> parent of others
//   View(key, parent)    --> view     (read-only, never committed)
//
// A driver returns mounts and never mounts; the caller does. Keys and names share one space,
// private to the driver. Drivers know nothing of images, containers or namespaces; the namespaced
// face of a driver is daemon/metadata/snapshots.
//
// Thread-safe. Every call is all-or-nothing across a crash: after a restart its whole effect is
// there or none of it. The suite in snapshots/testing checks what is written here.
//
// Source document: docs/api/snapshots.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/filter.h"
#include "base/identifiers.h"
#include "base/mount.h"

namespace ctrd::snapshots {

using base::Labels;

enum class Kind { kView = 1, kActive = 2, kCommitted = 3 };
std::string_view KindName(Kind kind);  // "view", "active", "committed"

struct Info {
  Kind kind = Kind::kActive;
  std::string name;
  std::string parent;  // "" for none.
  Labels labels;
  absl::Time created;
  absl::Time updated;
};
// How filters see a snapshot: name, parent, kind, labels.<key>.
base::FieldLookup FieldsOf(const Info& info);

struct Usage {
  int64_t size_bytes = 0;
  int64_t inodes = 0;
};

// Which labels an update writes: all of them, or those named.
struct LabelsUpdate {
  bool replace_all = true;
  std::vector<std::string> keys;  // With !replace_all; an empty value removes the label.
};

// Writes into `labels` what `update` takes from `wanted`. Labels without a value are not kept.
void ApplyLabels(const Labels& wanted, const LabelsUpdate& update, Labels& labels);

// The errors that callers of every driver know by their text.
absl::Status SnapshotNotFound(std::string_view key);  // "snapshot <key> does not exist: not found"
absl::Status SnapshotAlreadyExists(std::string_view key);  // `snapshot "<key>": already exists`

class Snapshotter {
 public:
  virtual ~Snapshotter() = default;

  // Starts an active snapshot `key` over `parent` ("" for an empty tree) and returns the mounts
  // that show it, outermost first. Durable on return.
  //   kAlreadyExists    `key` is taken: `snapshot "<key>": already exists`
  //   kNotFound         there is no `parent`
  //   kInvalidArgument  `parent` is not committed
  virtual absl::StatusOr<base::Mounts> Prepare(const base::Context& context, std::string_view key,
                                               std::string_view parent, const Labels& labels) = 0;
  // The same, read-only.
  virtual absl::StatusOr<base::Mounts> View(const base::Context& context, std::string_view key,
                                            std::string_view parent, const Labels& labels) = 0;
  // The mounts of an active snapshot or a view; the same at every call.
  //   kNotFound            `snapshot <key> does not exist: not found`
  //   kFailedPrecondition  it is committed
  virtual absl::StatusOr<base::Mounts> MountsOf(const base::Context& context,
                                                std::string_view key) = 0;
  // Makes the active `key` the committed `name`, with exactly `labels`. A `parent` that is not ""
  // becomes the parent of a snapshot that has none (rebase). What was written into the snapshot is
  // on disk before the commit is.
  //   kAlreadyExists       `name` is taken; `key` stays
  //   kNotFound            there is no `key`, or no `parent`
  //   kFailedPrecondition  `key` is not active
  virtual absl::Status Commit(const base::Context& context, std::string_view name,
                              std::string_view key, const Labels& labels,
                              std::string_view parent) = 0;
  // Removes a snapshot of any kind. The disk space may be freed later, by Cleanup.
  //   kNotFound, kFailedPrecondition "cannot remove snapshot with child: failed precondition"
  virtual absl::Status Remove(const base::Context& context, std::string_view key) = 0;

  virtual absl::StatusOr<Info> Stat(const base::Context& context, std::string_view key) = 0;
  // Writes labels, and returns the result.
  virtual absl::StatusOr<Info> Update(const base::Context& context, const Info& info,
                                      const LabelsUpdate& update) = 0;
  // Calls `visit` for every snapshot that `filter` matches, in order of the key, until it fails.
  virtual absl::Status Walk(const base::Context& context, const base::Filter& filter,
                            const std::function<absl::Status(const Info&)>& visit) = 0;
  // Of this snapshot alone; measured when active, recorded at Commit, 0 for views.
  virtual absl::StatusOr<Usage> UsageOf(const base::Context& context, std::string_view key) = 0;
  // Frees what Remove left, and what a crash left. kUnimplemented where there is nothing to do.
  virtual absl::Status Cleanup(const base::Context& context) = 0;
};

}  // namespace ctrd::snapshots
