// SPDX-License-Identifier: Apache-2.0

// What runc keeps of a container in <root>/<namespace>/<id>, for the day on which runc itself
// cannot delete it.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ctrd::runtime::shim {

// Removes `directory` if its state.json proves that no process of the container lives: its first
// process has ended, or its number is another's by now, and its control groups are gone or empty.
//   kFailedPrecondition  something lives, or the file does not prove that nothing does
absl::Status RemoveDeadState(const std::string& directory);

}  // namespace ctrd::runtime::shim
