// SPDX-License-Identifier: Apache-2.0

// The socket file of a shim: one per group, in a directory that all shims share. Whoever makes or
// removes one holds the directory's lock, so that no live socket is taken for a dead one.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ctrd::runtime::shim {

// The listener for a new server at `address` ("unix://<directory>/…"); invalid if one is there
// already. The file of a server that is gone is replaced.
absl::StatusOr<base::UniqueFd> BindOrJoin(const std::string& directory, const std::string& address);

// Removes the file at `address` if nobody serves it: a server that was killed left it.
absl::Status RemoveDeadSocket(const std::string& address);

}  // namespace ctrd::runtime::shim
