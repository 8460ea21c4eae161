// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/bundle_spec.h"

#include "base/files.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostSpecBytes = 16 << 20;

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

}  // namespace

std::map<std::string, std::string> ReadAnnotations(const std::string& bundle) {
  std::map<std::string, std::string> annotations;
  const nlohmann::json spec = ReadSpec(bundle);
  const nlohmann::json& object = Member(spec, "annotations");
  if (!object.is_object()) return annotations;
  for (const auto& [key, value] : object.items()) {
    if (value.is_string()) annotations[key] = value.get<std::string>();
  }
  return annotations;
}

bool HasPrivatePidNamespace(const std::string& bundle) {
  const nlohmann::json spec = ReadSpec(bundle);
  const nlohmann::json& namespaces = Member(Member(spec, "linux"), "namespaces");
  if (!namespaces.is_array()) return false;
  for (const nlohmann::json& entry : namespaces) {
    if (Member(entry, "type") != "pid") continue;
    const nlohmann::json& path = Member(entry, "path");
    return !path.is_string() || path.get_ref<const std::string&>().empty();
  }
  return false;
}

std::string CgroupsPath(const std::string& bundle) {
  const nlohmann::json spec = ReadSpec(bundle);
  const nlohmann::json& path = Member(Member(spec, "linux"), "cgroupsPath");
  return path.is_string() ? path.get<std::string>() : std::string();
}

absl::StatusOr<std::string> WithTerminal(const std::string& process_json, bool terminal) {
  nlohmann::json process = nlohmann::json::parse(process_json, nullptr, false);
  if (process.is_discarded()) return base::Unknown("invalid character in process document");
  if (!process.is_object()) {
    return base::Unknown("json: cannot unmarshal {} into Go value of type specs.Process",
                         process.type_name());
  }
  process["terminal"] = terminal;
  return process.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace ctrd::runtime::shim
