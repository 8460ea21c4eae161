// SPDX-License-Identifier: Apache-2.0

// The half of SnapshotRecords that answers and labels: Stat, Update, Walk.
#include "absl/time/clock.h"
#include "base/status.h"
#include "daemon/metadata/labels.h"
#include "daemon/metadata/snapshot_labels.h"
#include "daemon/metadata/snapshot_records.h"

namespace ctrd::metadata {

using base::NotFound;
using snapshots::Info;

absl::StatusOr<Info> SnapshotRecords::Stat(const base::Context& context, std::string_view key) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  ASSIGN_OR_RETURN(SnapshotRecord record, Load(context, key));
  absl::StatusOr<Info> info = driver_.Stat(context, record.backend_name);
  if (absl::IsNotFound(info.status())) return NotFound("snapshot {} does not exist", key);
  if (!info.ok()) return info.status();
  return Overlay(*std::move(info), key, std::move(record));
}

absl::StatusOr<Info> SnapshotRecords::Update(const base::Context& context, const Info& info,
                                             const snapshots::LabelsUpdate& update) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  if (info.name.empty()) return base::MakeError(absl::StatusCode::kInvalidArgument, "");
  RETURN_IF_ERROR(base::ValidateLabels(info.labels, "info.Labels"));
  ASSIGN_OR_RETURN(SnapshotRecord record, Load(context, info.name));
  // The driver first: should the record fail, the call is simply made again.
  snapshots::LabelsUpdate inherited{.replace_all = update.replace_all, .keys = {}};
  for (const std::string& key : update.keys) {
    if (IsInherited(key)) inherited.keys.push_back(key);
  }
  const Info backend_info{.name = record.backend_name, .labels = InheritedLabels(info.labels)};
  const bool driver_concerned = update.replace_all || !inherited.keys.empty();
  ASSIGN_OR_RETURN(Info updated, driver_concerned ? driver_.Update(context, backend_info, inherited)
                                                  : driver_.Stat(context, record.backend_name));
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(auto found, Find<SnapshotRecord>(write, KeyOf(context, info.name)));
    if (!found) return NotFound("snapshot {} does not exist", info.name);
    if (update.replace_all) found->labels = info.labels;
    for (const std::string& key : update.keys) {
      if (!update.replace_all) SetLabel(found->labels, info.labels, key);
    }
    ASSIGN_OR_RETURN(found->labels, CheckLabels(found->labels, "info.Labels"));
    found->updated = absl::Now();
    record = *std::move(found);
    return write.Put(KeyOf(context, info.name), Encode(record));
  }));
  return Overlay(std::move(updated), info.name, std::move(record));
}

absl::Status SnapshotRecords::Walk(const base::Context& context, const base::Filter& filter,
                                   const std::function<absl::Status(const Info&)>& visit) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  std::vector<std::pair<std::string, SnapshotRecord>> records;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(
        store::Key({table::kSnapshots, context.namespace_name(), name_}),
        [&](std::string_view key, std::string_view value) {
          Decode(value, records.emplace_back(store::SplitKey(key)[3], SnapshotRecord()).second);
          return true;
        });
  }));
  if (records.empty()) return absl::OkStatus();
  std::map<std::string, Info>
      held;  // By the driver, all namespaces: one walk is cheaper than n calls.
  RETURN_IF_ERROR(driver_.Walk(context, base::Filter(), [&](const Info& info) {
    held.emplace(info.name, info);
    return absl::OkStatus();
  }));
  for (auto& [key, record] : records) {
    const auto backend = held.find(record.backend_name);
    if (backend == held.end()) continue;  // Removed since, or committed under another name.
    const Info info = Overlay(backend->second, key, std::move(record));
    if (filter.Matches(FieldsOf(info))) RETURN_IF_ERROR(visit(info));
  }
  return absl::OkStatus();
}

}  // namespace ctrd::metadata
