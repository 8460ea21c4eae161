// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/bootstrap.h"

#include "base/files.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "runtime/bootstrap/v1/bootstrap.pb.h"

namespace ctrd::runtime {
namespace {

constexpr int kNewestVersion = 3;
constexpr size_t kEndpointLimitBytes = 64 << 10;

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

absl::StatusOr<ShimEndpoint> Checked(ShimEndpoint endpoint) {
  if (endpoint.version > kNewestVersion) {
    return base::Unimplemented("unsupported shim version ({})", endpoint.version);
  }
  if (endpoint.protocol != "ttrpc" && endpoint.protocol != "grpc") {
    return base::Unknown("unexpected protocol: \"{}\"", endpoint.protocol);
  }
  return endpoint;
}

template <typename T>
T Field(const nlohmann::json& json, const char* name, T missing) {
  const auto it = json.find(name);
  if (it == json.end()) return missing;
  if constexpr (std::is_same_v<T, int>) {
    return it->is_number_integer() ? it->get<int>() : missing;
  } else {
    return it->is_string() ? it->get<T>() : missing;
  }
}

}  // namespace

absl::StatusOr<ShimEndpoint> DecodeStartAnswer(std::string_view output) {
  containerd::runtime::bootstrap::v1::BootstrapResult result;
  if (result.ParseFromArray(output.data(), static_cast<int>(output.size()))) {
    return Checked({result.version(), result.address(), result.protocol()});
  }
  const std::string_view text = Trim(output);
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_object()) {
    ShimEndpoint endpoint{Field(json, "version", 0), Field(json, "address", std::string()),
                          Field(json, "protocol", std::string())};
    if (endpoint.version >= 2) return Checked(std::move(endpoint));
  }
  return ShimEndpoint{2, std::string(text), "ttrpc"};
}

absl::StatusOr<ShimEndpoint> ParseTaskApiAddress(std::string_view text, uint32_t version) {
  const size_t plus = text.find('+');
  if (plus == text.npos) return base::InvalidArgument("task api address {} has no protocol", text);
  return Checked({version == 0 ? kNewestVersion : static_cast<int>(std::min(version, 1000u)),
                  std::string(text.substr(plus + 1)), std::string(text.substr(0, plus))});
}

absl::StatusOr<ShimEndpoint> ReadEndpoint(const std::string& bundle_path) {
  auto saved = base::ReadFile(bundle_path + "/bootstrap.json", kEndpointLimitBytes);
  if (saved.ok()) return DecodeStartAnswer(*saved);
  if (!absl::IsNotFound(saved.status())) return saved.status();
  ASSIGN_OR_RETURN(const std::string address,
                   base::ReadFile(bundle_path + "/address", kEndpointLimitBytes));
  ShimEndpoint endpoint{2, std::string(Trim(address)), "ttrpc"};
  // Next time one file is enough; without it this path is taken again.
  (void)WriteEndpoint(bundle_path, endpoint);
  return endpoint;
}

absl::Status WriteEndpoint(const std::string& bundle_path, const ShimEndpoint& endpoint) {
  const nlohmann::ordered_json json = {{"version", endpoint.version},
                                       {"address", endpoint.address},
                                       {"protocol", endpoint.protocol}};
  return base::WriteFileAtomically(
      bundle_path + "/bootstrap.json",
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), 0644);
}

}  // namespace ctrd::runtime
