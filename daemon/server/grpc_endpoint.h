// SPDX-License-Identifier: Apache-2.0

// The daemon's gRPC socket.
//
// Clients ping idle connections and keep them for days: pings are never answered with "too many",
// idle connections are never closed. Messages up to the limits of the options pass both ways.
//
// Source document: docs/operations.md.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/server.h"

namespace ctrd::server {

class GrpcMetrics;

struct SocketOptions {
  std::string path;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Runs `listen` with a path at which it must bind and listen on a UNIX socket, then puts that
// socket at `options.path` with mode 0660 and its owner: in one step, in place of what was left
// there, and never open to others before. The directory is made (0770, of the socket's owner) if
// missing.
//   kInvalidArgument  `"<path>": unix socket path too long (> 104)`
absl::Status ListenOn(const SocketOptions& options,
                      const std::function<absl::Status(const std::string& path)>& listen);

struct GrpcOptions {
  SocketOptions socket;
  int max_receive_bytes = 16 << 20;
  int max_send_bytes = 16 << 20;
  GrpcMetrics* metrics = nullptr;  // Counts the calls; outlives the endpoint.
};

// Serves from Start until it is destroyed, which ends calls that still run: streams at once, others
// after a short grace.
class GrpcEndpoint {
 public:
  // `services` must outlive the endpoint.
  static absl::StatusOr<std::unique_ptr<GrpcEndpoint>> Start(
      const GrpcOptions& options, const std::vector<grpc::Service*>& services);
  ~GrpcEndpoint();

 private:
  GrpcEndpoint(std::unique_ptr<grpc::Server> server, std::string path)
      : server_(std::move(server)), path_(std::move(path)) {}

  std::unique_ptr<grpc::Server> server_;
  const std::string path_;
};

}  // namespace ctrd::server
