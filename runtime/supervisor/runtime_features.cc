// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/runtime_features.h"

#include "base/any.h"
#include "base/status.h"
#include "base/wire.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime {
namespace {

using nlohmann::json;

constexpr int kFeaturesField = 4, kAnnotationsField = 5;  // Of RuntimeInfo.
constexpr char kAllowMounts[] = "containerd.io/runtime-allow-mounts";

bool MapsIds(const json& mount) {
  if (!mount.is_object()) return false;
  for (const char* mappings : {"uidMappings", "gidMappings"}) {
    const auto it = mount.find(mappings);
    if (it != mount.end() && it->is_array() && !it->empty()) return true;
  }
  const auto options = mount.find("options");
  if (options == mount.end() || !options->is_array()) return false;
  return std::any_of(options->begin(), options->end(),
                     [](const json& option) { return option == "idmap" || option == "ridmap"; });
}

}  // namespace

bool UsesIdMappedMounts(std::string_view spec) {
  // Few do: the others are not worth parsing.
  const auto has = [&](std::string_view word) { return spec.find(word) != spec.npos; };
  if (!has("idmap\"") && !has("idMappings\"")) return false;
  const json parsed = json::parse(spec, nullptr, false);
  if (!parsed.is_object()) return false;
  const auto mounts = parsed.find("mounts");
  return mounts != parsed.end() && mounts->is_array() &&
         std::any_of(mounts->begin(), mounts->end(), MapsIds);
}

absl::Status CheckIdMappedMounts(const std::string& info) {
  base::Any features;
  base::WireReader reader(info);
  while (const auto field = reader.Next()) {
    if (field->number == kFeaturesField) features = base::ReadWireAny(field->bytes);
  }
  const json parsed = json::parse(features.value, nullptr, false);
  const json::json_pointer enabled("/linux/mountExtensions/idmap/enabled");
  if (parsed.is_discarded() || !parsed.contains(enabled)) {
    return base::Unknown("idmap mounts not supported: the runtime does not say that it has them");
  }
  if (parsed.at(enabled) != true) {
    return base::Unknown("idmap mounts not supported: the runtime says that it has none");
  }
  return absl::OkStatus();
}

std::vector<std::string> MountsOfRuntime(const std::string& info) {
  std::map<std::string, std::string> annotations;
  base::WireReader reader(info);
  while (const auto field = reader.Next()) {
    if (field->number == kAnnotationsField) base::ReadWireMapEntry(field->bytes, annotations);
  }
  std::vector<std::string> types;
  std::string_view rest = annotations[kAllowMounts];
  while (!rest.empty()) {
    const std::string_view type = rest.substr(0, rest.find(','));
    if (!type.empty()) types.emplace_back(type);
    rest.remove_prefix(std::min(type.size() + 1, rest.size()));
  }
  return types;
}

}  // namespace ctrd::runtime
