// SPDX-License-Identifier: Apache-2.0

// The native snapshotter: each snapshot is a whole copy of its parent. It works on any file system
// and needs nothing of the kernel but bind mounts.
//
//   <root>/metadata.lmdb     records
//   <root>/snapshots/<id>    the tree; none for a view of a parent, which shows its parent's
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "snapshots/snapshotter.h"

namespace ctrd::snapshots {

absl::StatusOr<std::unique_ptr<Snapshotter>> OpenNativeSnapshotter(const std::string& root);

}  // namespace ctrd::snapshots
