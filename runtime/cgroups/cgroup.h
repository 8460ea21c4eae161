// SPDX-License-Identifier: Apache-2.0

// The control group(s) of a container, on hosts with the unified hierarchy (v2) and on those with
// one hierarchy per controller (v1, hybrid): where they are, and what they say.
// Source document: docs/api/cgroups-metrics.md.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/any.h"

namespace ctrd::runtime::cgroups {

inline constexpr std::string_view kMountPoint = "/sys/fs/cgroup";

// Whether /sys/fs/cgroup is the unified hierarchy.
bool HostIsUnified();

class Cgroup {
 public:
  // That of a process as it is now. It stays the same if the process moves or ends.
  static absl::StatusOr<Cgroup> OfProcess(pid_t pid);
  // Those that exist of the ones a specification's cgroupsPath means.
  //   kNotFound  there are none, or it is no absolute path that can be told without the runtime
  static absl::StatusOr<Cgroup> AtPath(const std::string& cgroups_path);
  // `directories`: by controller; "" for the one of v2.
  Cgroup(bool unified, std::map<std::string, std::string> directories)
      : unified_(unified), directories_(std::move(directories)) {}

  bool unified() const { return unified_; }
  // "" if the controller has none for this process. v2: whatever the controller.
  std::string DirectoryOf(const std::string& controller) const;

  // An encoded io.containerd.cgroups.v1.Metrics or ….v2.Metrics.
  absl::StatusOr<base::Any> Statistics() const;

  // v2: hands every controller that the root has down to the container's subtree.
  absl::Status EnableControllers(std::string_view root = kMountPoint) const;

  absl::Status Add(pid_t pid) const;
  // Those that are in it now.
  std::set<pid_t> Processes() const;
  // Removes the directories; those that are in use stay.
  void Remove() const;

 private:
  bool unified_;
  std::map<std::string, std::string> directories_;
};

// Moves a process into an existing group, in each hierarchy that has it. `path` is relative to the
// roots of the hierarchies.  kNotFound: none has it.
absl::Status JoinCgroup(const std::string& path, pid_t pid);

// The two encodings of Statistics.
absl::StatusOr<std::string> EncodeV1(const Cgroup& cgroup);
absl::StatusOr<std::string> EncodeV2(const Cgroup& cgroup);

}  // namespace ctrd::runtime::cgroups
