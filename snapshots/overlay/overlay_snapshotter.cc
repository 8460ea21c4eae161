// SPDX-License-Identifier: Apache-2.0
#include "snapshots/overlay/overlay_snapshotter.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "base/status.h"
#include "snapshots/overlay/overlay_features.h"
#include "snapshots/storage/local_snapshotter.h"
#include "snapshots/storage/snapshot_directories.h"

namespace ctrd::snapshots {
namespace {

constexpr std::string_view kUpperDirLabel = "containerd.io/snapshot/overlay.upperdir";

// Whether `options` say something about `name`: "name" or "name=…".
bool Mentions(const std::vector<std::string>& options, std::string_view name) {
  return std::ranges::any_of(options, [name](std::string_view option) {
    return option == name || (option.starts_with(name) && option[name.size()] == '=');
  });
}

std::vector<std::string> ExtraOptions(const OverlayOptions& options) {
  std::vector<std::string> extra = options.mount_options;
  if (!Mentions(extra, "userxattr") && NeedsUserXattr(options.root)) extra.push_back("userxattr");
  if (!Mentions(extra, "index") && HasIndex()) extra.push_back("index=off");
  return extra;
}

class OverlayDisk : public Disk {
 public:
  OverlayDisk(const OverlayOptions& options, std::unique_ptr<SnapshotDirectories> directories)
      : directories_(std::move(directories)),
        upperdir_label_(options.upperdir_label),
        can_map_ids_(CanMapIds()),
        extra_options_(ExtraOptions(options)) {}

  absl::Status Create(const Record& draft) override;
  absl::StatusOr<base::Mounts> MountsFor(const Record& record) override;
  absl::StatusOr<Usage> Measure(const Record& record) override {
    return MeasureFiles(UpperOf(record.id));
  }
  absl::Status Flush(const Record&) override { return directories_->SyncFiles(); }
  absl::StatusOr<std::vector<std::string>> List() override { return directories_->List(); }
  absl::Status Discard(const std::string& name) override { return directories_->Discard(name); }
  void Describe(const Record& record, Info& info) const override {
    if (upperdir_label_) info.labels[std::string(kUpperDirLabel)] = UpperOf(record.id);
  }

 private:
  std::string UpperOf(uint64_t id) const { return directories_->PathOf(id) + "/fs"; }
  std::string WorkOf(uint64_t id) const { return directories_->PathOf(id) + "/work"; }
  absl::StatusOr<Owner> OwnerOf(const Record& draft) const;
  std::vector<std::string> MapOptions(const Labels& labels) const;

  const std::unique_ptr<SnapshotDirectories> directories_;
  const bool upperdir_label_;
  const bool can_map_ids_;
  const std::vector<std::string> extra_options_;
};

absl::StatusOr<Owner> OverlayDisk::OwnerOf(const Record& draft) const {
  ASSIGN_OR_RETURN(const std::optional<Owner> mapped, MappedRoot(draft.info.labels));
  if (mapped.has_value()) return *mapped;
  if (draft.parent_ids.empty()) return Owner{.uid = ::geteuid(), .gid = ::getegid()};
  const std::string parent = UpperOf(draft.parent_ids.front());
  struct stat info = {};
  if (::lstat(parent.c_str(), &info) != 0) return base::ErrnoStatus("stat", parent);
  return Owner{.uid = info.st_uid, .gid = info.st_gid};
}

absl::Status OverlayDisk::Create(const Record& draft) {
  ASSIGN_OR_RETURN(const Owner owner, OwnerOf(draft));
  RETURN_IF_ERROR(
      MakeOwnedDirectory(directories_->PathOf(draft.id), 0700, ::geteuid(), ::getegid()));
  RETURN_IF_ERROR(MakeOwnedDirectory(UpperOf(draft.id), 0755, owner.uid, owner.gid));
  if (draft.info.kind == Kind::kActive) {
    RETURN_IF_ERROR(MakeOwnedDirectory(WorkOf(draft.id), 0711, ::geteuid(), ::getegid()));
  } else if (!draft.parent_ids.empty()) {
    return absl::OkStatus();  // Its mounts show only its parents: nothing of its own can be lost.
  }
  return directories_->SyncEntry(draft.id);
}

std::vector<std::string> OverlayDisk::MapOptions(const Labels& labels) const {
  const auto uids = labels.find(std::string(kUidMapLabel));
  const auto gids = labels.find(std::string(kGidMapLabel));
  if (!can_map_ids_ || uids == labels.end() || gids == labels.end()) return {};
  return {"uidmap=" + uids->second, "gidmap=" + gids->second};
}

absl::StatusOr<base::Mounts> OverlayDisk::MountsFor(const Record& record) {
  const bool active = record.info.kind == Kind::kActive;
  const std::vector<uint64_t>& parents = record.parent_ids;
  std::vector<std::string> options = MapOptions(record.info.labels);
  if (parents.empty() || (!active && parents.size() == 1)) {
    options.push_back(active ? "rw" : "ro");
    options.push_back("rbind");
    const uint64_t shown = parents.empty() ? record.id : parents.front();
    return base::Mounts{{"bind", UpperOf(shown), "", std::move(options)}};
  }
  if (active) {
    options.push_back("workdir=" + WorkOf(record.id));
    options.push_back("upperdir=" + UpperOf(record.id));
  }
  std::string lower = "lowerdir=";
  for (const uint64_t parent : parents) {
    if (parent != parents.front()) lower += ':';
    lower += UpperOf(parent);
  }
  options.push_back(std::move(lower));
  options.insert(options.end(), extra_options_.begin(), extra_options_.end());
  return base::Mounts{{"overlay", "overlay", "", std::move(options)}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Snapshotter>> OpenOverlaySnapshotter(const OverlayOptions& options) {
  ASSIGN_OR_RETURN(auto directories, SnapshotDirectories::Open(options.root));
  ASSIGN_OR_RETURN(const bool supported, SupportsEntryTypes(options.root));
  if (!supported) {
    return base::FailedPrecondition(
        "{} does not support d_type. If the backing filesystem is xfs, please reformat with "
        "ftype=1 to enable d_type support",
        options.root);
  }
  using Discarding = LocalSnapshotterOptions::Discarding;
  return OpenLocalSnapshotter({.root = options.root,
                               .discarding = options.sync_remove ? Discarding::kAtOnceAndByCleanup
                                                                 : Discarding::kByCleanup},
                              std::make_unique<OverlayDisk>(options, std::move(directories)));
}

std::vector<std::string> OverlayCapabilities(const OverlayOptions& options) {
  std::vector<std::string> capabilities;
  if (CanMapIds()) capabilities.push_back("remap-ids");
  if (!options.slow_chown) capabilities.push_back("only-remap-ids");
  if (!InUserNamespace()) capabilities.push_back("rebase");
  return capabilities;
}

}  // namespace ctrd::snapshots
