// SPDX-License-Identifier: Apache-2.0

// Where the files of a layer go, given the mounts of its snapshot.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/mount.h"
#include "base/unique_fd.h"
#include "images/archive/apply.h"

namespace ctrd::diff {

// A single overlay is written where its changes are kept, without mounting anything; a single
// writable bind mount likewise at its source. Everything else is mounted for the time being.
class LayerTarget {
 public:
  static absl::StatusOr<LayerTarget> Open(const base::Mounts& mounts, const std::string& tmp_root);

  int root() const { return root_.get(); }
  const archive::ApplyTarOptions& options() const { return options_; }
  // Flushes the file system of a target that is not mounted here; the others are let be.
  absl::Status Sync() const;
  // Unmounts what was mounted.
  absl::Status Close();

 private:
  LayerTarget() = default;
  std::optional<base::TempMount> mount_;
  base::UniqueFd root_;  // Closed before the mount goes.
  archive::ApplyTarOptions options_;
};

}  // namespace ctrd::diff
