// SPDX-License-Identifier: Apache-2.0
#include "snapshots/native/native_snapshotter.h"

#include <unistd.h>

#include <utility>

#include "base/status.h"
#include "snapshots/native/copy_tree.h"
#include "snapshots/storage/local_snapshotter.h"
#include "snapshots/storage/snapshot_directories.h"

namespace ctrd::snapshots {
namespace {

class NativeDisk : public Disk {
 public:
  explicit NativeDisk(std::unique_ptr<SnapshotDirectories> directories)
      : directories_(std::move(directories)) {}

  absl::Status Create(const Record& draft) override;
  absl::StatusOr<base::Mounts> MountsFor(const Record& record) override;
  absl::StatusOr<Usage> Measure(const Record& record) override {
    return MeasureFiles(directories_->PathOf(record.id));
  }
  absl::Status Flush(const Record&) override { return directories_->SyncFiles(); }
  absl::StatusOr<std::vector<std::string>> List() override { return directories_->List(); }
  absl::Status Discard(const std::string& name) override { return directories_->Discard(name); }
  void Describe(const Record&, Info&) const override {}

 private:
  const std::unique_ptr<SnapshotDirectories> directories_;
};

absl::Status NativeDisk::Create(const Record& draft) {
  const std::string path = directories_->PathOf(draft.id);
  if (draft.parent_ids.empty()) {
    RETURN_IF_ERROR(MakeOwnedDirectory(path, 0755, ::geteuid(), ::getegid()));
    return directories_->SyncEntry(draft.id);
  }
  if (draft.info.kind == Kind::kView) return absl::OkStatus();
  RETURN_IF_ERROR(CopyTree(directories_->PathOf(draft.parent_ids.front()), path));
  return directories_->SyncFiles();
}

absl::StatusOr<base::Mounts> NativeDisk::MountsFor(const Record& record) {
  const bool is_view = record.info.kind == Kind::kView;
  const uint64_t shown =
      is_view && !record.parent_ids.empty() ? record.parent_ids.front() : record.id;
  return base::Mounts{{"bind", directories_->PathOf(shown), "", {"rbind", is_view ? "ro" : "rw"}}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Snapshotter>> OpenNativeSnapshotter(const std::string& root) {
  ASSIGN_OR_RETURN(auto directories, SnapshotDirectories::Open(root));
  return OpenLocalSnapshotter(
      {.root = root, .discarding = LocalSnapshotterOptions::Discarding::kAtOnce},
      std::make_unique<NativeDisk>(std::move(directories)));
}

}  // namespace ctrd::snapshots
