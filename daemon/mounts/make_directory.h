// SPDX-License-Identifier: Apache-2.0

// The transformer "mkdir": options X-containerd.mkdir.path=<dir>[:<octal mode>[:<uid>:<gid>]].
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/mount.h"

namespace ctrd::mounts {

// Makes the directories that the options name (mode 0700 by default; the parent must be there) and
// takes the options away. One that is there already is fine if mode and owner are those asked for.
absl::Status MakeDirectoriesOf(base::Mount& mount, const std::vector<std::string>& roots);

}  // namespace ctrd::mounts
