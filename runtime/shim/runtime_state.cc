// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/runtime_state.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstdint>

#include "base/files.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostStateBytes = 16 << 20;
constexpr int kMostDepth = 32;  // Of control groups.

absl::Status Unproven(std::string_view directory, std::string_view why) {
  return base::FailedPrecondition("remove runtime state '{}': {}", directory, why);
}

// Whether process `pid` is the one that started at `start`, as proc(5) counts it, and has not
// ended.
bool Lives(uint64_t pid, uint64_t start) {
  const auto stat = base::ReadFile(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat.ok()) return false;
  // After the name, which may hold anything: the state is field 3, the start field 22.
  size_t at = stat->rfind(')');
  if (at == std::string::npos || at + 2 >= stat->size()) return true;
  const char state = (*stat)[at + 2];
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat->find(' ', at + 1);
  uint64_t started = 0;
  if (at != std::string::npos) {
    std::from_chars(stat->data() + at + 1, stat->data() + stat->size(), started);
  }
  return started == start && state != 'Z' && state != 'X';
}

// Whether a process is in a control group or below it. What cannot be read may have one.
bool IsPopulated(const std::string& directory, int depth = 0) {
  struct stat status;
  if (::lstat(directory.c_str(), &status) != 0) return errno != ENOENT;
  if (!S_ISDIR(status.st_mode)) return false;
  const auto processes = base::ReadFile(directory + "/cgroup.procs");
  if (!processes.ok() && base::Exists(directory)) return true;
  if (processes.ok() && !processes->empty()) return true;
  const auto names = base::ListDirectory(directory);
  if (!names.ok()) return base::Exists(directory);
  for (const std::string& name : *names) {
    const std::string below = directory + "/" + name;
    if (::lstat(below.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    if (depth >= kMostDepth || IsPopulated(below, depth + 1)) return true;
  }
  return false;
}

// Of a number that is there and is one, else false.
bool ReadNumber(const nlohmann::json& state, const char* name, uint64_t& number) {
  const auto member = state.find(name);
  if (member == state.end() || !member->is_number_unsigned()) return false;
  number = member->get<uint64_t>();
  return true;
}

}  // namespace

absl::Status RemoveDeadState(const std::string& directory) {
  const auto text = base::ReadFile(directory + "/state.json", kMostStateBytes);
  if (!text.ok()) return Unproven(directory, std::string(text.status().message()));
  const auto state = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  uint64_t pid = 0, start = 0;
  if (!state.is_object() || !ReadNumber(state, "init_process_pid", pid) ||
      !ReadNumber(state, "init_process_start", start) || pid == 0) {
    return Unproven(directory, "state.json does not name the first process");
  }
  if (Lives(pid, start)) return Unproven(directory, fmt::format("process {} lives", pid));
  const auto groups = state.find("cgroup_paths");
  bool known = false;
  if (groups != state.end() && groups->is_object()) {
    for (const auto& [controller, path] : groups->items()) {
      if (!path.is_string()) continue;
      const std::string& group = path.get_ref<const std::string&>();
      if (!group.starts_with('/')) continue;
      known = true;
      if (IsPopulated(group)) return Unproven(directory, "processes live in " + group);
    }
  }
  if (!known) return Unproven(directory, "state.json names no control group");
  return base::RemoveTree(directory);
}

}  // namespace ctrd::runtime::shim
