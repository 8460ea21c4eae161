// SPDX-License-Identifier: Apache-2.0

// The little that the shim itself reads from the OCI documents it passes on.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace ctrd::runtime::shim {

// The group of containers that share a shim, as annotations of <bundle>/config.json name it; `id`
// where they do not.
std::string GroupOf(const std::string& bundle, const std::string& id);
// linux.cgroupsPath, "" if there is none.
std::string CgroupsPath(const std::string& bundle);
// What the making of a container depends on, from one reading of <bundle>/config.json: it is long
// where a seccomp profile is in it. A spec that cannot be read is left to the runtime.
struct BundleFacts {
  // The container's processes have a pid namespace of their own, which dies with its first process.
  bool private_pid_namespace = false;
  // Nothing is larger than any use has it: runtimes have been led astray by fields that overflow
  // what they pass on.
  //   kInvalidArgument  id mappings, paths of namespaces, annotations: docs/security.md
  absl::Status limits;
  std::string root;  // Of the container's file system, absolute.
};
BundleFacts ReadFacts(const std::string& bundle);
// The container's root has no symbolic link where the runtime puts devices: old versions of runc
// follow it to the host (CVE-2026-41579). Call it when the root is mounted.
//   kFailedPrecondition  <root>/dev is a link
absl::Status CheckRoot(const std::string& root);
// An exec's process document with `terminal` put in its place.
//   kUnknown  not the JSON of a process
absl::StatusOr<std::string> WithTerminal(const std::string& process_json, bool terminal);

}  // namespace ctrd::runtime::shim
