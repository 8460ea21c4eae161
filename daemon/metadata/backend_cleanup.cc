// SPDX-License-Identifier: Apache-2.0

// The half of Collection that removes from back ends what no record names.
#include "base/log.h"
#include "base/status.h"
#include "daemon/metadata/collection.h"
#include "daemon/metadata/records.h"

namespace ctrd::metadata {
namespace {

// Calls that want a name wait while it is being removed: not for more than so many of them.
constexpr size_t kBatch = 32;

using Names = std::vector<std::string>;

// Removes those of `candidates`, in order, that nobody claims and that `named` does not answer when
// asked after the claim was refused to others.
absl::Status RemoveUnnamed(Claims& claims, const Names& candidates,
                           const std::function<absl::StatusOr<std::set<std::string>>()>& named,
                           const std::function<absl::Status(const std::string&)>& remove) {
  for (size_t begin = 0; begin < candidates.size(); begin += kBatch) {
    Names begun;
    for (size_t i = begin; i < std::min(begin + kBatch, candidates.size()); ++i) {
      if (claims.BeginRemoval(candidates[i])) {
        begun.push_back(candidates[i]);
      } else {
        claims.MarkDirty();  // Its call may yet leave it without a record.
      }
    }
    const auto keep = named();
    absl::Status status = keep.status();
    for (const std::string& name : begun) {
      if (status.ok() && !keep->contains(name)) status = remove(name);
      claims.EndRemoval(name);
    }
    RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

// Back ends that ask for a namespace get the one the name begins with.
base::Context ContextFor(std::string_view backend_name) {
  const size_t slash = backend_name.find('/');
  if (slash == std::string_view::npos) return base::Context("default");
  return base::Context(std::string(backend_name.substr(0, slash)));
}

// Children before their parents.
Names LeavesFirst(const std::map<std::string, std::string>& parents, const Names& names) {
  std::vector<std::pair<int, std::string>> by_depth;
  for (const std::string& name : names) {
    int depth = 0;
    for (auto at = parents.find(name); at != parents.end() && depth <= int(parents.size());
         ++depth) {
      at = parents.find(at->second);
    }
    by_depth.emplace_back(-depth, name);
  }
  std::sort(by_depth.begin(), by_depth.end());
  Names ordered;
  for (auto& [depth, name] : by_depth) ordered.push_back(std::move(name));
  return ordered;
}

}  // namespace

absl::StatusOr<std::set<std::string>> Collection::NamedContent() {
  std::set<std::string> named;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    RETURN_IF_ERROR(read.Scan(store::Key({table::kBlobs}), [&](std::string_view key, auto) {
      named.insert(store::SplitKey(key)[2]);
      return true;
    }));
    return read.Scan(store::Key({table::kIngests}), [&](auto, std::string_view value) {
      IngestRecord record;
      Decode(value, record);
      named.insert(record.backend_ref);
      if (!record.expected.empty()) named.insert(record.expected);
      return true;
    });
  }));
  return named;
}

absl::StatusOr<std::set<std::string>> Collection::NamedSnapshots(std::string_view snapshotter) {
  std::set<std::string> named;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(store::Key({table::kSnapshots}),
                     [&](std::string_view key, std::string_view value) {
                       if (store::SplitKey(key)[2] != snapshotter) return true;
                       SnapshotRecord record;
                       Decode(value, record);
                       named.insert(record.backend_name);
                       return true;
                     });
  }));
  return named;
}

absl::Status Collection::CleanContent() {
  const base::Context context("default");
  ASSIGN_OR_RETURN(const auto named, NamedContent());
  Names blobs, refs;
  RETURN_IF_ERROR(backend_.Walk(context, base::Filter(), [&](const content::Info& info) {
    if (!named.contains(info.digest.text())) blobs.push_back(info.digest.text());
    return absl::OkStatus();
  }));
  ASSIGN_OR_RETURN(const auto ingests, backend_.ListStatuses(context, base::Filter()));
  for (const content::IngestStatus& ingest : ingests) {
    if (!named.contains(ingest.ref)) refs.push_back(ingest.ref);
  }
  const auto names_now = [&] { return NamedContent(); };
  RETURN_IF_ERROR(RemoveUnnamed(
      content_claims_, blobs, names_now, [&](const std::string& text) -> absl::Status {
        ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(text));
        const absl::Status status = backend_.Delete(context, digest);
        return absl::IsNotFound(status) ? absl::OkStatus() : status;
      }));
  return RemoveUnnamed(content_claims_, refs, names_now, [&](const std::string& ref) {
    const absl::Status status = backend_.Abort(ContextFor(ref), ref);
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  });
}

absl::Status Collection::CleanSnapshots(SnapshotRecords& snapshotter) {
  snapshots::Snapshotter& driver = snapshotter.driver();
  const base::Context context("default");
  ASSIGN_OR_RETURN(const auto named, NamedSnapshots(snapshotter.name()));
  Names candidates;
  std::map<std::string, std::string> parents;
  RETURN_IF_ERROR(driver.Walk(context, base::Filter(), [&](const snapshots::Info& info) {
    parents[info.name] = info.parent;
    if (!named.contains(info.name)) candidates.push_back(info.name);
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(RemoveUnnamed(
      snapshotter.claims(), LeavesFirst(parents, candidates),
      [&] { return NamedSnapshots(snapshotter.name()); },
      [&](const std::string& name) {
        const absl::Status status = driver.Remove(ContextFor(name), name);
        if (!absl::IsFailedPrecondition(status)) {
          return absl::IsNotFound(status) ? absl::OkStatus() : status;
        }
        snapshotter.claims().MarkDirty();
        base::LogInfo("snapshot without record is in use, left for later",
                      {{"snapshotter", snapshotter.name()}, {"name", name}, {"error", status}});
        return absl::OkStatus();
      }));
  const absl::Status status = driver.Cleanup(context);
  return absl::IsUnimplemented(status) ? absl::OkStatus() : status;
}

}  // namespace ctrd::metadata
