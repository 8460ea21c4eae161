// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "runtime/spec/spec_json.h"

namespace ctrd::runtime {
namespace {

// The order of the keys of each kind of object, and which kind the value of a key is: an object of
// it, or an array of such objects.
struct Kind {
  std::vector<std::string_view> keys;
  std::map<std::string_view, std::string_view> values;
};

const std::map<std::string_view, Kind>& Kinds() {
  static const std::map<std::string_view, Kind> kinds = {
      {"",
       {{"ociVersion", "process", "root", "hostname", "domainname", "mounts", "hooks",
         "annotations", "linux"},
        {{"process", "process"}, {"root", "root"}, {"mounts", "mount"}, {"linux", "linux"}}}},
      {"process",
       {{"terminal", "consoleSize", "user", "args", "commandLine", "env", "cwd", "capabilities",
         "rlimits", "noNewPrivileges", "apparmorProfile", "oomScoreAdj", "scheduler",
         "selinuxLabel", "ioPriority"},
        {{"user", "user"}, {"capabilities", "capabilities"}, {"rlimits", "rlimit"}}}},
      {"user", {{"uid", "gid", "umask", "additionalGids", "username"}, {}}},
      {"capabilities", {{"bounding", "effective", "inheritable", "permitted", "ambient"}, {}}},
      {"rlimit", {{"type", "hard", "soft"}, {}}},
      {"root", {{"path", "readonly"}, {}}},
      {"mount", {{"destination", "type", "source", "options", "uidMappings", "gidMappings"}, {}}},
      {"linux",
       {{"uidMappings", "gidMappings", "sysctl", "resources", "cgroupsPath", "namespaces",
         "devices", "netDevices", "seccomp", "rootfsPropagation", "maskedPaths", "readonlyPaths",
         "mountLabel", "intelRdt", "memoryPolicy", "personality", "timeOffsets"},
        {{"resources", "resources"}}}},
      {"resources",
       {{"devices", "memory", "cpu", "pids", "blockIO", "hugepageLimits", "network", "rdma",
         "unified"},
        {{"cpu", "cpu"}}}},
      {"cpu",
       {{"shares", "quota", "burst", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems",
         "idle"},
        {}}},
  };
  return kinds;
}

Json OrderValue(const Json& value, const Kind& parent, const std::string& key) {
  const auto kind = parent.values.find(key);
  if (kind == parent.values.end()) return value;
  if (!value.is_array()) return InOciOrder(value, kind->second);
  Json ordered = Json::array();
  for (const Json& element : value) ordered.push_back(InOciOrder(element, kind->second));
  return ordered;
}

}  // namespace

Json InOciOrder(const Json& document, std::string_view kind_name) {
  if (!document.is_object()) return document;
  const Kind& kind = Kinds().at(kind_name);
  Json ordered = Json::object();
  for (std::string_view key : kind.keys) {
    const std::string name(key);
    if (auto found = document.find(name); found != document.end()) {
      ordered[name] = OrderValue(*found, kind, name);
    }
  }
  for (const auto& [key, value] : document.items()) {
    if (!ordered.contains(key)) ordered[key] = value;
  }
  return ordered;
}

}  // namespace ctrd::runtime
