// SPDX-License-Identifier: Apache-2.0

// The file `exit-told` of a bundle: the exit of the task's first process has been published. A task
// that is found stopped without it after a restart has an exit nobody was told of.
#pragma once

#include <string>

namespace ctrd::runtime {

void MarkExitTold(const std::string& bundle_path);  // A bundle that is gone is fine.
bool ExitWasTold(const std::string& bundle_path);

}  // namespace ctrd::runtime
