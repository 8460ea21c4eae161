// SPDX-License-Identifier: Apache-2.0

// The transformer "mkfs": the source is a file with a file system, made if it is missing.
//
//   X-containerd.mkfs.size=<bytes, or 64MiB>   needed
//   X-containerd.mkfs.fs=ext2|ext3|ext4|xfs    ext4 by default
//   X-containerd.mkfs.uuid=<uuid>
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/mount.h"

namespace ctrd::mounts {

// Makes the file (mode 0640, sparse), whole or not at all, with the mkfs.<fs> of $PATH, and takes
// the options away. A file that is there is left as it is.
absl::Status MakeFileSystem(base::Mount& mount, const std::vector<std::string>& roots);

}  // namespace ctrd::mounts
