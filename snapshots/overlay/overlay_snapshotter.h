// SPDX-License-Identifier: Apache-2.0

// The overlayfs snapshotter: each snapshot is a directory of what it changes, and its mounts stack
// the directories of its parents.
//
//   <root>/metadata.lmdb         records
//   <root>/snapshots/<id>/fs     the layer, or the upper directory
//   <root>/snapshots/<id>/work   of active snapshots; stays after the commit
//
// The options and their order are fixed: see docs/api/snapshots.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "snapshots/snapshotter.h"

namespace ctrd::snapshots {

struct OverlayOptions {
  std::string root;
  bool upperdir_label = false;  // Show the upper directory in a label of every Info.
  bool sync_remove = false;     // Remove frees the files itself, instead of leaving it to Cleanup.
  bool slow_chown = false;      // Clients may copy a tree to change its owners (Capabilities only).
  std::vector<std::string> mount_options;  // Appended to overlay mounts.
};

// kFailedPrecondition: "<root> does not support d_type. …".
absl::StatusOr<std::unique_ptr<Snapshotter>> OpenOverlaySnapshotter(const OverlayOptions& options);

// What clients may count on, on this kernel: "remap-ids", "only-remap-ids", "rebase".
std::vector<std::string> OverlayCapabilities(const OverlayOptions& options);

}  // namespace ctrd::snapshots
