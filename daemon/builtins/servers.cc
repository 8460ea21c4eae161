// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "daemon/builtins/builtins.h"
#include "daemon/server/grpc_endpoint.h"
#include "daemon/server/grpc_metrics.h"
#include "daemon/server/ttrpc_endpoint.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::builtins {
namespace {

constexpr int64_t kMaxMessageBytes = 16 << 20;

server::SocketOptions SocketOf(const config::Section& section) {
  return {.path = section.String("address"),
          .uid = static_cast<uid_t>(section.Integer("uid")),
          .gid = static_cast<gid_t>(section.Integer("gid"))};
}

config::Schema SocketSchema(const std::string& address) {
  return {{"address", address},
          {"uid", static_cast<int64_t>(::geteuid())},
          {"gid", static_cast<int64_t>(::getegid())}};
}

absl::StatusOr<plugin::Instance> StartGrpc(plugin::InitContext& init) {
  if (init.section.String("address").empty()) {
    return base::InvalidArgument("grpc address cannot be empty");
  }
  std::vector<grpc::Service*> services;
  for (const auto& [id, service] : init.registry.FindAll<grpc::Service>(plugin::kGrpc)) {
    services.push_back(service);
  }
  ASSIGN_OR_RETURN(
      auto endpoint,
      server::GrpcEndpoint::Start(
          {.socket = SocketOf(init.section),
           .max_receive_bytes = static_cast<int>(init.section.Integer("max_recv_message_size")),
           .max_send_bytes = static_cast<int>(init.section.Integer("max_send_message_size")),
           .metrics = init.registry.Find<server::GrpcMetrics>(plugin::kMetrics, "grpc-prometheus")},
          services));
  return plugin::Instance::Of<server::GrpcEndpoint>(std::move(endpoint));
}

}  // namespace

void AddServers(plugin::Registry& registry) {
  config::Schema grpc = SocketSchema(config::kDefaultAddress);
  grpc.push_back({"max_recv_message_size", kMaxMessageBytes});
  grpc.push_back({"max_send_message_size", kMaxMessageBytes});
  registry.Add({.type = plugin::kServer,
                .id = "ttrpc",
                .requirements = {plugin::kRuntime},
                .schema = SocketSchema(std::string(config::kDefaultAddress) + ".ttrpc"),
                .init = [](plugin::InitContext& init) -> absl::StatusOr<plugin::Instance> {
                  if (init.section.String("address").empty()) {
                    return plugin::Skip("no ttrpc address configured");
                  }
                  // Events pass the supervisor, which notes the exits that were told.
                  ASSIGN_OR_RETURN(auto* supervisor, init.registry.Get<runtime::Supervisor>(
                                                         plugin::kRuntime, "task"));
                  ASSIGN_OR_RETURN(auto endpoint,
                                   server::TtrpcEndpoint::Start(SocketOf(init.section),
                                                                &supervisor->forwarded_events()));
                  return plugin::Instance::Of<server::TtrpcEndpoint>(std::move(endpoint));
                }});
  registry.Add({.type = plugin::kServer,
                .id = "grpc",
                .requirements = {plugin::kGrpc, plugin::kMetrics},
                .schema = std::move(grpc),
                .init = StartGrpc});
}

}  // namespace ctrd::builtins
