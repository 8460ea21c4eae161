// SPDX-License-Identifier: Apache-2.0

// Which exits were told: the file `exit-told` of a bundle, or `<exec id>.exit-told`, says which
// process' exit has been published. One that is found stopped after a restart without it has an
// exit nobody was told of; one that is told again (the shim did not learn that the daemon got it)
// is known by it.
#pragma once

#include <string>

#include "runtime/task_runtime.h"

namespace ctrd::runtime {

// `process` is "" for the task's first process.
void MarkExitTold(const std::string& bundle_path, const std::string& process, const Exit& exit);
// Of this very exit: ids of execs are used again.
bool ExitWasTold(const std::string& bundle_path, const std::string& process, const Exit& exit);
// Of any exit of that process.
bool SomeExitWasTold(const std::string& bundle_path, const std::string& process);

}  // namespace ctrd::runtime
