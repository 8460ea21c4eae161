// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/snapshot_records.h"

#include <optional>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"
#include "daemon/metadata/labels.h"
#include "daemon/metadata/lease_store.h"
#include "daemon/metadata/snapshot_labels.h"

namespace ctrd::metadata {
namespace {

using base::AlreadyExists;
using base::NotFound;
using base::Quote;
using base::WireWriter;
using snapshots::Info;

absl::Status EmptyKey() { return absl::UnknownError("bucket name required"); }

// Unique within the database: a parent's children, and the snapshots themselves.
std::string ChildKey(std::string_view ns, std::string_view snapshotter, std::string_view parent,
                     std::string_view key) {
  return store::Key({table::kSnapshotChildren, ns, snapshotter, parent, key});
}

}  // namespace

// Numbers start at the time, so that a number is not used again after a restart, although none is
// ever written down.
SnapshotRecords::SnapshotRecords(Database& database, std::string name,
                                 snapshots::Snapshotter& driver, Claims& claims)
    : database_(database),
      name_(std::move(name)),
      resource_type_("snapshots/" + name_),
      driver_(driver),
      claims_(claims),
      last_number_(absl::ToUnixMicros(absl::Now())) {}

std::string SnapshotRecords::NewBackendName(const base::Context& context, std::string_view key) {
  return fmt::format("{}/{}/{}", context.namespace_name(), ++last_number_, key);
}

std::string SnapshotRecords::KeyOf(const base::Context& context, std::string_view key) const {
  return store::Key({table::kSnapshots, context.namespace_name(), name_, key});
}

absl::StatusOr<SnapshotRecord> SnapshotRecords::Load(const base::Context& context,
                                                     std::string_view key, std::string_view what) {
  SnapshotRecord record;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(auto found, Find<SnapshotRecord>(read, KeyOf(context, key)));
    if (!found) return NotFound("{} {} does not exist", what, key);
    record = *std::move(found);
    return absl::OkStatus();
  }));
  return record;
}

absl::Status SnapshotRecords::Insert(WriteTransaction& write, const base::Context& context,
                                     std::string_view key, const SnapshotRecord& record) {
  const std::string& ns = context.namespace_name();
  if (!record.parent.empty()) {
    ASSIGN_OR_RETURN(const bool parent_exists, Exists(write, KeyOf(context, record.parent)));
    if (!parent_exists) return NotFound("parent snapshot {} does not exist", record.parent);
    RETURN_IF_ERROR(write.Put(ChildKey(ns, name_, record.parent, key), ""));
  }
  RETURN_IF_ERROR(EnsureNamespace(write, ns));
  RETURN_IF_ERROR(write.Put(store::Key({table::kSnapshotters, ns, name_}), ""));
  RETURN_IF_ERROR(AddToLease(write, context, resource_type_, key));
  return write.Put(KeyOf(context, key), Encode(record));
}

absl::Status SnapshotRecords::Erase(WriteTransaction& write, const base::Context& context,
                                    std::string_view key, const SnapshotRecord& record) {
  RETURN_IF_ERROR(RemoveFromLease(write, context, resource_type_, key));
  if (!record.parent.empty()) {
    RETURN_IF_ERROR(write.Delete(ChildKey(context.namespace_name(), name_, record.parent, key)));
  }
  return write.Delete(KeyOf(context, key));
}

absl::Status SnapshotRecords::CheckFree(const base::Context& context, std::string_view name,
                                        std::string_view taken_text) {
  bool exists = false;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(exists, Exists(read, KeyOf(context, name)));
    return absl::OkStatus();
  }));
  if (!exists) return absl::OkStatus();
  if (!context.lease().empty()) {
    RETURN_IF_ERROR(database_.Update(
        [&](WriteTransaction& write) { return AddToLease(write, context, resource_type_, name); }));
  }
  return AlreadyExists("{}", taken_text);
}

void SnapshotRecords::Discard(const base::Context& context, const std::string& backend_name) {
  const absl::Status status = driver_.Remove(context.Detached(), backend_name);
  if (status.ok() || absl::IsNotFound(status)) return;
  claims_.MarkDirty();
  base::LogWarn("snapshot without record not removed, left to garbage collection",
                {{"snapshotter", name_}, {"name", backend_name}, {"error", status}});
}

absl::StatusOr<base::Mounts> SnapshotRecords::Prepare(const base::Context& context,
                                                      std::string_view key, std::string_view parent,
                                                      const base::Labels& labels) {
  Request request{.key = std::string(key), .parent = std::string(parent), .labels = labels};
  ASSIGN_OR_RETURN(base::Mounts mounts, Make(context, std::move(request)));
  RETURN_IF_ERROR(database_.Publish(
      context.namespace_name(), "/snapshot/prepare", "containerd.events.SnapshotPrepare",
      WireWriter().Bytes(1, key).Bytes(2, parent).Bytes(5, name_).Take()));
  return mounts;
}

absl::StatusOr<base::Mounts> SnapshotRecords::View(const base::Context& context,
                                                   std::string_view key, std::string_view parent,
                                                   const base::Labels& labels) {
  Request request{
      .read_only = true, .key = std::string(key), .parent = std::string(parent), .labels = labels};
  return Make(context, std::move(request));
}

absl::StatusOr<base::Mounts> SnapshotRecords::Make(const base::Context& context, Request request) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  ASSIGN_OR_RETURN(request.labels, CheckLabels(request.labels, "info.Labels"));
  if (request.key.empty()) return EmptyKey();
  request.target = TargetOf(request.labels);
  if (!request.target.empty()) {
    RETURN_IF_ERROR(CheckFree(context, request.target,
                              fmt::format("target snapshot {}", Quote(request.target))));
  }
  RETURN_IF_ERROR(CheckFree(context, request.key, fmt::format("snapshot {}", Quote(request.key))));
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) { return CheckLease(read, context); }));
  if (!request.parent.empty()) {
    ASSIGN_OR_RETURN(const SnapshotRecord parent, Load(context, request.parent, "parent snapshot"));
    request.backend_parent = parent.backend_name;
  }
  const std::string backend_name = NewBackendName(context, request.key);
  // Until the record is there, only the claim tells clean-up whose snapshot this is.
  const Claims::Claim claim = claims_.Take(backend_name);
  const base::Labels inherited = InheritedLabels(request.labels);
  absl::StatusOr<base::Mounts> mounts =
      request.read_only ? driver_.View(context, backend_name, request.backend_parent, inherited)
                        : driver_.Prepare(context, backend_name, request.backend_parent, inherited);
  if (absl::IsAlreadyExists(mounts.status())) {
    if (!request.target.empty()) return AdoptTarget(context, request);
    return absl::UnknownError(base::ToAbsl(fmt::format(
        "unexpected error from snapshotter: {}: unknown", base::MessageOf(mounts.status()))));
  }
  if (!mounts.ok()) return mounts.status();
  const absl::Time now = absl::Now();
  const SnapshotRecord record{.backend_name = backend_name,
                              .parent = request.parent,
                              .created = now,
                              .updated = now,
                              .labels = request.labels};
  const absl::Status stored = database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool taken, Exists(write, KeyOf(context, request.key)));
    if (taken) return AlreadyExists("snapshot {}", Quote(request.key));
    return Insert(write, context, request.key, record);
  });
  if (!stored.ok()) {
    Discard(context, backend_name);
    return stored;
  }
  return mounts;
}

// The driver says it has the layer `request.target` already: finds it there and records it. Always
// an error, kAlreadyExists when all went well.
absl::Status SnapshotRecords::AdoptTarget(const base::Context& context, const Request& request) {
  const std::vector<std::string> filters{fmt::format("labels.{}=={},parent=={}",
                                                     Quote(kTargetLabel), Quote(request.target),
                                                     Quote(request.backend_parent))};
  ASSIGN_OR_RETURN(const base::Filter filter, base::Filter::Parse(filters));
  std::optional<Info> found;
  RETURN_IF_ERROR(driver_.Walk(context, filter, [&](const Info& info) {
    // Exactly: a driver may not understand all of the filter.
    if (!found && info.kind == snapshots::Kind::kCommitted &&
        TargetOf(info.labels) == request.target && info.parent == request.backend_parent) {
      found = info;
    }
    return absl::OkStatus();
  }));
  if (!found) return NotFound("target snapshot {} in backend", Quote(request.target));
  const Claims::Claim claim = claims_.Take(found->name);
  ASSIGN_OR_RETURN(const Info info, driver_.Stat(context, found->name));  // Not removed meanwhile.
  SnapshotRecord record{.backend_name = info.name,
                        .parent = request.parent,
                        .created = info.created,
                        .updated = info.updated,
                        .labels = request.labels};
  record.labels.insert(info.labels.begin(), info.labels.end());
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool taken, Exists(write, KeyOf(context, request.target)));
    if (taken) return AddToLease(write, context, resource_type_, request.target);
    return Insert(write, context, request.target, record);
  }));
  return AlreadyExists("target snapshot {} from snapshotter", Quote(request.target));
}

absl::StatusOr<base::Mounts> SnapshotRecords::MountsOf(const base::Context& context,
                                                       std::string_view key) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  ASSIGN_OR_RETURN(const SnapshotRecord record, Load(context, key));
  return driver_.MountsOf(context, record.backend_name);
}

absl::Status SnapshotRecords::Commit(const base::Context& context, std::string_view name,
                                     std::string_view key, const base::Labels& labels,
                                     std::string_view parent) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  ASSIGN_OR_RETURN(const base::Labels checked, CheckLabels(labels, "info.Labels"));
  if (name.empty() || key.empty()) return EmptyKey();
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(
        const bool used,
        Exists(read, store::Key({table::kSnapshotters, context.namespace_name(), name_})));
    if (!used) return NotFound("can not find snapshotter {}", Quote(name_));
    return CheckLease(read, context);
  }));
  RETURN_IF_ERROR(CheckFree(context, name, fmt::format("snapshot {}", Quote(name))));
  ASSIGN_OR_RETURN(const SnapshotRecord active, Load(context, key));
  SnapshotRecord committed{.parent = active.parent, .labels = checked};
  std::string backend_parent;
  if (active.parent.empty() && !parent.empty()) {  // Rebase.
    ASSIGN_OR_RETURN(const SnapshotRecord base, Load(context, parent, "parent snapshot"));
    committed.parent = parent;
    backend_parent = base.backend_name;
  }
  committed.backend_name = NewBackendName(context, name);
  const Claims::Claim claim = claims_.Take(committed.backend_name);
  RETURN_IF_ERROR(driver_.Commit(context, committed.backend_name, active.backend_name,
                                 InheritedLabels(checked), backend_parent));
  committed.created = committed.updated = absl::Now();
  const absl::Status stored = database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool taken, Exists(write, KeyOf(context, name)));
    if (taken) return AlreadyExists("snapshot {}", Quote(name));
    RETURN_IF_ERROR(Insert(write, context, name, committed));
    return Erase(write, context, key, active);
  });
  if (!stored.ok()) {
    Discard(context, committed.backend_name);
    return stored;
  }
  return database_.Publish(context.namespace_name(), "/snapshot/commit",
                           "containerd.events.SnapshotCommit",
                           WireWriter().Bytes(1, key).Bytes(2, name).Bytes(5, name_).Take());
}

absl::Status SnapshotRecords::Remove(const base::Context& context, std::string_view key) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  // Until after the commit and before the event: whoever hears of it may collect at once.
  std::optional<Claims::Removal> removal(std::in_place, claims_);
  RETURN_IF_ERROR(database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        ASSIGN_OR_RETURN(const auto record, Find<SnapshotRecord>(write, KeyOf(context, key)));
        if (!record) return NotFound("snapshot {} does not exist", key);
        ASSIGN_OR_RETURN(
            const bool has_child,
            AnyWithPrefix(write, store::Key({table::kSnapshotChildren, ns, name_, key})));
        if (has_child) return base::FailedPrecondition("cannot remove snapshot with child");
        return Erase(write, context, key, *record);
      },
      Change::kDeletion));
  removal.reset();
  return database_.Publish(ns, "/snapshot/remove", "containerd.events.SnapshotRemove",
                           WireWriter().Bytes(1, key).Bytes(5, name_).Take());
}

absl::StatusOr<snapshots::Usage> SnapshotRecords::UsageOf(const base::Context& context,
                                                          std::string_view key) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  ASSIGN_OR_RETURN(const SnapshotRecord record, Load(context, key));
  return driver_.UsageOf(context, record.backend_name);
}

absl::Status SnapshotRecords::Cleanup(const base::Context&) {
  return base::Unimplemented("snapshotter does not implement Cleanup method");
}

}  // namespace ctrd::metadata
