// SPDX-License-Identifier: Apache-2.0

// Checkpoints as content: CRIU's directory as a tar blob, the container's spec beside it.
// Source document: docs/api/tasks.md (Create, Checkpoint).
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/any.h"
#include "base/context.h"
#include "images/content/content_store.h"
#include "images/descriptor.h"

namespace ctrd::services {

// A temporary directory with CRIU's files, removed with the object.
class UnpackedCheckpoint {
 public:
  UnpackedCheckpoint() = default;
  explicit UnpackedCheckpoint(std::string path) : path_(std::move(path)) {}
  UnpackedCheckpoint(UnpackedCheckpoint&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  UnpackedCheckpoint& operator=(UnpackedCheckpoint&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~UnpackedCheckpoint();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The directory that a checkpoint's descriptor names itself (annotation RestoreFromPath); "" if it
// names none.
std::string RestorePathOf(const images::Descriptor& checkpoint);

// Applies what a checkpoint says of the root file system, `<directory>/../rootfs-diff.tar`, to that
// at `rootfs`. That there is nothing is fine.
absl::Status ApplyRootfsDiff(const base::Context& context, const std::string& directory,
                             const std::string& rootfs);

//   kUnknown  `unsupported checkpoint type "X"`
absl::StatusOr<UnpackedCheckpoint> UnpackCheckpoint(const base::Context& context,
                                                    content::ContentStore* content,
                                                    const images::Descriptor& checkpoint);

// Lets `dump` fill a temporary directory and stores what is in it, and `spec`, as content: the
// descriptors of both, in this order.
absl::StatusOr<std::vector<images::Descriptor>> StoreCheckpoint(
    const base::Context& context, content::ContentStore* content, const base::Any& spec,
    const std::function<absl::Status(const std::string& directory)>& dump);

}  // namespace ctrd::services
