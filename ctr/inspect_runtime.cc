// SPDX-License-Identifier: Apache-2.0
#include "base/identifiers.h"
#include "base/json.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/container_flags.h"
#include "ctr/output.h"
#include "ctr/transfer.h"
#include "services/introspection/v1/introspection.grpc.pb.h"
#include "types/introspection.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::introspection::v1;
using containerd::types::RuntimeInfo;

// What is in an Any that this program knows to read, else null.
Json Decoded(const google::protobuf::Any& any) {
  if (any.type_url().ends_with("runtime-spec/1/features/Features")) {
    Json features = base::ParseJson<Json>(any.value());
    return features.is_discarded() ? Json(nullptr) : features;
  }
  containerd::runc::v1::Options options;
  if (any.type_url().ends_with("containerd.runc.v1.Options") &&
      options.ParseFromString(any.value())) {
    return ToJson(options);
  }
  return nullptr;
}

absl::Status InspectRuntime(Invocation& invocation) {
  ASSIGN_OR_RETURN(auto options, RuntimeOptions(invocation));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  containerd::types::RuntimeRequest runtime;
  runtime.set_runtime_path(invocation.Text("runtime"));
  if (options) *runtime.mutable_options() = *std::move(options);
  api::PluginInfoRequest request;
  request.set_type("io.containerd.runtime.v2");
  request.set_id("task");
  *request.mutable_options() = PackBare(runtime);
  ASSIGN_OR_RETURN(const auto response,
                   client.Call(&api::Introspection::Stub::PluginInfo, request));
  RuntimeInfo info;
  if (!info.ParseFromString(response.extra().value())) {
    return base::Unknown("the daemon's answer is not readable");
  }
  Json annotations =
      std::map<std::string, std::string>(info.annotations().begin(), info.annotations().end());
  if (info.annotations().empty()) annotations = nullptr;
  PrintJson(Json{
      {"Name", info.name()},
      {"Version", {{"Version", info.version().version()}, {"Revision", info.version().revision()}}},
      {"Options", Decoded(info.options())},
      {"Features", Decoded(info.features())},
      {"Annotations", annotations}});
  return absl::OkStatus();
}

}  // namespace

Command InspectRuntimeCommand() {
  Command command{.names = "inspect-runtime",
                  .summary = "ask a runtime for its features",
                  .arguments = "[flags]",
                  .action = InspectRuntime};
  command.flags = RuntimeFlags();
  command.flags.push_back({FlagKind::kText, "cgroup", "", "", "", false, /*hidden=*/true});
  return command;
}

}  // namespace ctrd::ctr
