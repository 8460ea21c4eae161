// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/runc_options.h"

#include "base/files.h"
#include "base/status.h"
#include "base/wire.h"
#include "nlohmann/json.hpp"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostBytes = 64 << 10;

void PutText(nlohmann::ordered_json& json, const char* name, const std::string& value) {
  if (!value.empty()) json[name] = value;
}

// The name of the message, without a host before it.
std::string_view TypeOf(const base::Any& any) {
  const size_t slash = any.type_url.rfind('/');
  return std::string_view(any.type_url).substr(slash == std::string::npos ? 0 : slash + 1);
}

// The number in Options of a field of CreateOptions; 0 for what Options does not have.
int NumberInOptions(int number) {
  switch (number) {
    case 1:  // no_pivot_root
      return 1;
    case 8:  // no_new_keyring
      return 2;
    case 9:  // shim_cgroup
      return 3;
    case 10:  // io_uid
      return 4;
    case 11:  // io_gid
      return 5;
    case 12:  // criu_work_path
      return 11;
    case 13:  // criu_image_path
      return 10;
    default:
      return 0;
  }
}

std::string GetText(const nlohmann::json& json, const char* name) {
  const auto value = json.find(name);
  return value != json.end() && value->is_string() ? value->get<std::string>() : std::string();
}

}  // namespace

bool IsRuncOptions(const base::Any& any) {
  return TypeOf(any) == kRuncOptionsType || TypeOf(any) == kCreateOptionsType;
}

absl::StatusOr<RuncOptions> DecodeRuncOptions(const base::Any& any) {
  RuncOptions options;
  if (any.empty()) return options;
  if (!IsRuncOptions(any)) {
    return base::InvalidArgument("options of type {:?} are not for this runtime", any.type_url);
  }
  const bool is_old = TypeOf(any) == kCreateOptionsType;
  base::WireReader reader(any.value);
  while (const auto field = reader.Next()) {
    const std::string text(field->bytes);
    switch (is_old ? NumberInOptions(field->number) : field->number) {
      case 1:
        options.no_pivot_root = field->varint != 0;
        break;
      case 2:
        options.no_new_keyring = field->varint != 0;
        break;
      case 3:
        options.shim_cgroup = text;
        break;
      case 4:
        options.io_uid = static_cast<uint32_t>(field->varint);
        break;
      case 5:
        options.io_gid = static_cast<uint32_t>(field->varint);
        break;
      case 6:
        options.binary_name = text;
        break;
      case 7:
        options.root = text;
        break;
      case 9:
        options.systemd_cgroup = field->varint != 0;
        break;
      case 10:
        options.criu_image_path = text;
        break;
      case 11:
        options.criu_work_path = text;
        break;
    }
  }
  if (!reader.ok()) return base::InvalidArgument("options are not readable");
  return options;
}

absl::Status SaveRuncOptions(const std::string& bundle, const RuncOptions& options) {
  auto json = nlohmann::ordered_json::object();
  if (options.no_pivot_root) json["no_pivot_root"] = true;
  if (options.no_new_keyring) json["no_new_keyring"] = true;
  PutText(json, "shim_cgroup", options.shim_cgroup);
  if (options.io_uid != 0) json["io_uid"] = options.io_uid;
  if (options.io_gid != 0) json["io_gid"] = options.io_gid;
  PutText(json, "binary_name", options.binary_name);
  PutText(json, "root", options.root);
  if (options.systemd_cgroup) json["systemd_cgroup"] = true;
  PutText(json, "criu_image_path", options.criu_image_path);
  PutText(json, "criu_work_path", options.criu_work_path);
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  RETURN_IF_ERROR(base::WriteFileAtomically(bundle + "/options.json", text, 0600));
  return base::WriteFileAtomically(bundle + "/runtime", options.binary_name, 0600);
}

RuncOptions LoadRuncOptions(const std::string& bundle) {
  RuncOptions options;
  if (const auto text = base::ReadFile(bundle + "/options.json", kMostBytes); text.ok()) {
    const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) options.root = GetText(json, "root");
  }
  if (auto name = base::ReadFile(bundle + "/runtime", kMostBytes); name.ok()) {
    options.binary_name = *std::move(name);
  }
  return options;
}

}  // namespace ctrd::runtime::shim
