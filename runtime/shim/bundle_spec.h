// SPDX-License-Identifier: Apache-2.0

// The little that the shim itself reads from the OCI documents it passes on.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace ctrd::runtime::shim {

// Annotations of <bundle>/config.json; none if it cannot be read.
std::map<std::string, std::string> ReadAnnotations(const std::string& bundle);
// Whether the container's processes have a pid namespace of their own, which dies with its first
// process. A spec that cannot be read counts as having none.
bool HasPrivatePidNamespace(const std::string& bundle);
// linux.cgroupsPath, "" if there is none.
std::string CgroupsPath(const std::string& bundle);
// An exec's process document with `terminal` put in its place.
//   kUnknown  not the JSON of a process
absl::StatusOr<std::string> WithTerminal(const std::string& process_json, bool terminal);

}  // namespace ctrd::runtime::shim
