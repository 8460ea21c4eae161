// SPDX-License-Identifier: Apache-2.0

// Mounts as the API describes them, and the code that performs them.
//
// A list of mounts is applied in order onto one directory; a mount's `target` is a directory below
// that one. Option words become mount flags, words the kernel's file systems understand are passed
// on, `loop`, `uidmap=` and `gidmap=` are handled here. Source document: docs/formats/mounts.md.
//
// All functions are thread-safe; none changes the working directory of the process.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ctrd::base {

struct Mount {
  std::string type;
  std::string source;
  std::string target;  // Below the mount point; "" for the mount point itself.
  std::vector<std::string> options;

  friend bool operator==(const Mount&, const Mount&) = default;
};
using Mounts = std::vector<Mount>;

// Performs `mounts` onto `directory`. On failure nothing of it stays mounted. Any number of lower
// directories that the kernel supports works: the 4096 bytes of mount(2) are no limit.
//   kInvalidArgument  an option of ours is malformed or was not consumed ("X-containerd.…")
absl::Status MountAll(const Mounts& mounts, const std::string& directory);

// Unmounts whatever is mounted on `path`, layer by layer, until it is no mount point; then all that
// is mounted below it. A path that is no mount point, or does not exist, is fine.
absl::Status UnmountAll(const std::string& path);

// UnmountAll for a root file system that is not used any more, by who has no time. The end of an
// overlay writes out all that its upper file system still has to write, the whole disk of the host
// say. So overlays on `path` are only taken out of sight, for everybody and at once; each ends when
// the descriptor that is returned for it is closed, by hand or with the process.
absl::StatusOr<std::vector<UniqueFd>> UnmountAllButOverlays(const std::string& path);

// `mounts` as they are for a reader: overlays lose upper and work directory (the upper becomes the
// nearest lower), everything else gets `ro`.
Mounts ReadOnly(const Mounts& mounts);

// `mounts` without what would make a temporary mount sync (overlay `volatile` is kept out too).
Mounts ForTemporaryUse(const Mounts& mounts);

// A directory with `mounts` on it for as long as the object lives; below `parent`, mode 0700, named
// "containerd-mount<random>". No mounts: an empty directory.
class TempMount {
 public:
  static absl::StatusOr<TempMount> Create(const std::string& parent, const Mounts& mounts);
  TempMount(TempMount&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  TempMount& operator=(TempMount&&) = delete;
  ~TempMount();  // Unmounts and removes; what fails is left for RemoveLeftovers.

  const std::string& path() const { return path_; }
  // Unmounts and removes now, and tells whether that worked.
  absl::Status Close();

 private:
  explicit TempMount(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Unmounts and removes what a crash left of TempMounts below `parent`.
absl::Status RemoveLeftoverTempMounts(const std::string& parent);

}  // namespace ctrd::base
