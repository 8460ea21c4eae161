// SPDX-License-Identifier: Apache-2.0

// The process behind a shim's socket: for shims that do not leave when told to. Found through the
// kernel's tables, so that it works for a shim of any make that does not answer, also after a
// restart of the daemon.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/process.h"

namespace ctrd::runtime {

// The processes, other than this one, that hold the listening socket of `address`. None if nobody
// listens, or if it is in a virtual machine: who listens for that is its hypervisor.
std::vector<base::Child> FindListeners(const std::string& address);

// Kills them, and waits until `deadline` for their end. False: none was there, or some remain.
bool KillListeners(const std::string& address, absl::Time deadline);

// Removes the socket of `address` if it is a file in `directory` and nobody listens on it.
void RemoveDeadSocket(const std::string& address, const std::string& directory);

}  // namespace ctrd::runtime
