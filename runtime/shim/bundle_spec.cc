// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/bundle_spec.h"

#include <sys/stat.h>

#include "base/files.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime::shim {
namespace {

constexpr int kMostDepth = 1000;
constexpr size_t kMostSpecBytes = 16 << 20;
constexpr size_t kMostMappings = 340;  // The kernel takes no more.
constexpr size_t kMostPathBytes = 4095;
constexpr size_t kMostAnnotationBytes = 1 << 20;  // All together.

nlohmann::json ReadSpec(const std::string& bundle) {
  const absl::StatusOr<std::string> text = base::ReadFile(bundle + "/config.json", kMostSpecBytes);
  if (!text.ok()) return nullptr;
  return nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
}

// The member `name` if `json` is an object that has it, else null.
const nlohmann::json& Member(const nlohmann::json& json, const char* name) {
  static const nlohmann::json kNull;
  if (!json.is_object()) return kNull;
  const auto member = json.find(name);
  return member == json.end() ? kNull : *member;
}

bool HasPrivatePidNamespace(const nlohmann::json& spec) {
  const nlohmann::json& namespaces = Member(Member(spec, "linux"), "namespaces");
  if (!namespaces.is_array()) return false;
  for (const nlohmann::json& entry : namespaces) {
    if (Member(entry, "type") != "pid") continue;
    const nlohmann::json& path = Member(entry, "path");
    return !path.is_string() || path.get_ref<const std::string&>().empty();
  }
  return false;
}

absl::Status CheckLimits(const nlohmann::json& spec) {
  const nlohmann::json& linux_part = Member(spec, "linux");
  for (const char* name : {"uidMappings", "gidMappings"}) {
    if (Member(linux_part, name).size() > kMostMappings) {
      return base::InvalidArgument("the specification has more than {} {}", kMostMappings, name);
    }
  }
  for (const nlohmann::json& entry : Member(linux_part, "namespaces")) {
    const nlohmann::json& path = Member(entry, "path");
    if (path.is_string() && path.get_ref<const std::string&>().size() > kMostPathBytes) {
      return base::InvalidArgument("the path of a namespace is longer than {} bytes",
                                   kMostPathBytes);
    }
  }
  size_t bytes = 0;
  if (const nlohmann::json& annotations = Member(spec, "annotations"); annotations.is_object()) {
    for (const auto& [key, value] : annotations.items()) {
      if (value.is_string()) bytes += key.size() + value.get_ref<const std::string&>().size();
    }
  }
  if (bytes > kMostAnnotationBytes) {
    return base::InvalidArgument("annotations take more than {} bytes", kMostAnnotationBytes);
  }
  return absl::OkStatus();
}

}  // namespace

std::string GroupOf(const std::string& bundle, const std::string& id) {
  const nlohmann::json spec = ReadSpec(bundle);
  const nlohmann::json& annotations = Member(spec, "annotations");
  for (const char* key : {"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"}) {
    const nlohmann::json& group = Member(annotations, key);
    if (group.is_string()) return group.get<std::string>();
  }
  return id;
}

std::string CgroupsPath(const std::string& bundle) {
  const nlohmann::json spec = ReadSpec(bundle);
  const nlohmann::json& path = Member(Member(spec, "linux"), "cgroupsPath");
  return path.is_string() ? path.get<std::string>() : std::string();
}

BundleFacts ReadFacts(const std::string& bundle) {
  const nlohmann::json spec = ReadSpec(bundle);
  const nlohmann::json& path = Member(Member(spec, "root"), "path");
  std::string root = path.is_string() ? path.get<std::string>() : "rootfs";
  if (!root.starts_with('/')) root.insert(0, bundle + "/");
  return {.private_pid_namespace = HasPrivatePidNamespace(spec),
          .limits = CheckLimits(spec),
          .root = std::move(root)};
}

absl::Status CheckRoot(const std::string& root) {
  struct stat info {};
  if (::lstat((root + "/dev").c_str(), &info) == 0 && S_ISLNK(info.st_mode)) {
    return base::FailedPrecondition("/dev of the container's root is a symbolic link");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> WithTerminal(const std::string& process_json, bool terminal) {
  // Writing it again takes stack by its depth: without a limit one request ends the shim.
  bool too_deep = false;
  const auto limit = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kMostDepth;
    return !too_deep;
  };
  nlohmann::json process = nlohmann::json::parse(process_json, limit, false);
  if (too_deep) return base::InvalidArgument("the process document is nested too deep");
  if (process.is_discarded()) return base::Unknown("invalid character in process document");
  if (!process.is_object()) {
    return base::Unknown("json: cannot unmarshal {} into Go value of type specs.Process",
                         process.type_name());
  }
  process["terminal"] = terminal;
  return process.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace ctrd::runtime::shim
