// SPDX-License-Identifier: Apache-2.0
#include "runtime/cgroups/cgroup.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/files.h"
#include "base/status.h"
#include "runtime/cgroups/cgroup_file.h"

namespace ctrd::runtime::cgroups {
namespace {

bool IsDirectory(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// One mounted hierarchy; on hybrid hosts that of v2 is one more, without controllers.
struct Hierarchy {
  std::string root;  // Which directory of the hierarchy the mount shows.
  std::string mount_point;
  std::vector<std::string> controllers;  // Options of the mount, controllers among them.
};

// /proc/self/mountinfo: "id parent dev root mount options [tags] - type source super-options".
std::vector<Hierarchy> MountedHierarchies() {
  std::vector<Hierarchy> found;
  const absl::StatusOr<std::string> text = base::ReadFile("/proc/self/mountinfo");
  if (!text.ok()) return found;
  for (const std::string_view line : Split(*text, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 10 || words.end() - dash < 4) continue;
    if (*(dash + 1) != "cgroup" && *(dash + 1) != "cgroup2") continue;
    Hierarchy hierarchy{.root = std::string(words[3]), .mount_point = std::string(words[4])};
    for (const std::string_view option : Split(*(dash + 3), ',')) {
      hierarchy.controllers.emplace_back(option);
    }
    found.push_back(std::move(hierarchy));
  }
  return found;
}

std::string RelativeTo(const std::string& root, std::string_view path) {
  if (root == "/" || root.empty()) return std::string(path);
  if (path.starts_with(root)) return std::string(path.substr(root.size()));
  return std::string(path);
}

}  // namespace

bool HostIsUnified() {
  struct statfs info;
  return ::statfs(kMountPoint.data(), &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

absl::StatusOr<Cgroup> Cgroup::OfProcess(pid_t pid) {
  const bool unified = HostIsUnified();
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(fmt::format("/proc/{}/cgroup", pid)));
  std::map<std::string, std::string> directories;
  const std::vector<Hierarchy> hierarchies =
      unified ? std::vector<Hierarchy>() : MountedHierarchies();
  for (const std::string_view line : Split(text, '\n')) {
    // "number:controller,controller:path"
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (unified) {
      if (controllers.empty()) directories[""] = std::string(kMountPoint) + std::string(path);
      continue;
    }
    for (const std::string_view controller : Split(controllers, ',')) {
      for (const Hierarchy& hierarchy : hierarchies) {
        const auto& names = hierarchy.controllers;
        if (std::find(names.begin(), names.end(), controller) == names.end()) continue;
        const std::string directory = hierarchy.mount_point + RelativeTo(hierarchy.root, path);
        if (IsDirectory(directory)) directories[std::string(controller)] = directory;
        break;
      }
    }
  }
  if (directories.empty()) return base::NotFound("cgroup does not exist");
  return Cgroup(unified, std::move(directories));
}

std::string Cgroup::DirectoryOf(const std::string& controller) const {
  const auto found = directories_.find(unified_ ? "" : controller);
  return found == directories_.end() ? std::string() : found->second;
}

absl::StatusOr<base::Any> Cgroup::Statistics() const {
  ASSIGN_OR_RETURN(std::string encoded, unified_ ? EncodeV2(*this) : EncodeV1(*this));
  return base::Any{.type_url = unified_ ? "io.containerd.cgroups.v2.Metrics"
                                        : "io.containerd.cgroups.v1.Metrics",
                   .value = std::move(encoded)};
}

absl::Status Cgroup::EnableControllers(std::string_view root) const {
  if (!unified_) return absl::OkStatus();
  const std::string names = ReadText(std::string(root) + "/cgroup.controllers");
  // From the root down to the parent: the container's own directory has processes in it.
  const std::string directory = DirectoryOf("");
  absl::Status status;
  for (size_t end = root.size(); end != directory.npos && end < directory.size();
       end = directory.find('/', end + 1)) {
    const std::string control = directory.substr(0, end) + "/cgroup.subtree_control";
    // One by one: of a list the kernel takes all or nothing.
    for (const std::string_view name : Split(names, ' ')) {
      status.Update(WriteText(control, "+" + std::string(name)));
    }
  }
  return status;
}

absl::StatusOr<Cgroup> Cgroup::AtPath(const std::string& cgroups_path) {
  const absl::Status none = base::NotFound("cgroup does not exist");
  // Others are relative to a group of the runtime's choice, or names for systemd.
  if (!cgroups_path.starts_with('/') || cgroups_path == "/") return none;
  if (fmt::format("{}/", cgroups_path).find("/../") != std::string::npos) return none;
  const bool unified = HostIsUnified();
  std::map<std::string, std::string> directories;
  if (unified) {
    directories[""] = std::string(kMountPoint) + cgroups_path;
  } else {
    for (const Hierarchy& hierarchy : MountedHierarchies()) {
      directories[hierarchy.mount_point] = hierarchy.mount_point + cgroups_path;
    }
  }
  std::erase_if(directories, [](const auto& entry) { return !IsDirectory(entry.second); });
  if (directories.empty()) return none;
  return Cgroup(unified, std::move(directories));
}

std::set<pid_t> Cgroup::Processes() const {
  std::set<pid_t> pids;
  for (const auto& [controller, directory] : directories_) {
    const std::string text = ReadText(directory + "/cgroup.procs");
    for (const std::string_view line : Split(text, '\n')) {
      if (const uint64_t pid = ParseNumber(line, 0); pid > 0) pids.insert(static_cast<pid_t>(pid));
    }
  }
  return pids;
}

void Cgroup::Remove() const {
  for (const auto& [controller, directory] : directories_) {
    (void)::rmdir(directory.c_str());  // In use or gone: so be it.
  }
}

absl::Status JoinCgroup(const std::string& path, pid_t pid) {
  ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::AtPath(path.starts_with('/') ? path : "/" + path));
  return cgroup.Add(pid);
}

absl::Status Cgroup::Add(pid_t pid) const {
  for (const auto& [controller, directory] : directories_) {
    RETURN_IF_ERROR(WriteText(directory + "/cgroup.procs", std::to_string(pid)));
  }
  return absl::OkStatus();
}

}  // namespace ctrd::runtime::cgroups
