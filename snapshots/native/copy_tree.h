// SPDX-License-Identifier: Apache-2.0

// Copies a directory tree as it is: kinds, modes, owners, times, extended attributes (as far as the
// file system takes them), hard links, holes. Data is shared between the copies where the file
// system can do that. Internal to snapshots/native.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ctrd::snapshots {

// Makes the new directory `destination` a copy of `source`, which nobody changes meanwhile. Mounts
// in `source` are not entered. What a failure leaves is the caller's to remove.
absl::Status CopyTree(const std::string& source, const std::string& destination);

}  // namespace ctrd::snapshots
