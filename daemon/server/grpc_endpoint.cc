// SPDX-License-Identifier: Apache-2.0
#include "daemon/server/grpc_endpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/status.h"
#include "daemon/server/grpc_metrics.h"
#include "grpc/grpc.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace ctrd::server {
namespace {

constexpr size_t kMaxSocketPath = 104;
constexpr std::chrono::milliseconds kStopGrace(500);

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

void TolerateIdleClients(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
}

}  // namespace

absl::Status ListenOn(const SocketOptions& options,
                      const std::function<absl::Status(const std::string& path)>& listen) {
  if (options.path.size() > kMaxSocketPath) {
    return absl::InvalidArgumentError(base::ToAbsl(fmt::format(
        "{}: unix socket path too long (> {})", base::Quote(options.path), kMaxSocketPath)));
  }
  const std::string directory = DirectoryOf(options.path);
  if (!base::Exists(directory)) {
    RETURN_IF_ERROR(base::MakeDirectories(directory, 0770));
    if (::chown(directory.c_str(), options.uid, options.gid) != 0) {
      return base::ErrnoStatus("chown", directory);
    }
  }
  // Born in a directory of our own, where nobody can connect before mode and owner are right.
  ASSIGN_OR_RETURN(const std::string nursery, base::MakeTempDirectory(directory, "."));
  const absl::Cleanup remove_nursery = [&] { (void)base::RemoveTree(nursery); };
  const std::string newborn = nursery + "/s";
  RETURN_IF_ERROR(listen(newborn));
  if (::chmod(newborn.c_str(), 0660) != 0) return base::ErrnoStatus("chmod", newborn);
  if (::chown(newborn.c_str(), options.uid, options.gid) != 0) {
    return base::ErrnoStatus("chown", newborn);
  }
  if (::rename(newborn.c_str(), options.path.c_str()) != 0) {
    return base::ErrnoStatus("rename socket to", options.path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GrpcEndpoint>> GrpcEndpoint::Start(
    const GrpcOptions& options, const std::vector<grpc::Service*>& services) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  builder.SetMaxSendMessageSize(options.max_send_bytes);
  // One completion queue and one thread that waits on it. Further threads come with calls that
  // block; eight of them stay, because making and ending one costs more than a short call.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 8);
  TolerateIdleClients(builder);
  if (options.metrics != nullptr) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
    creators.push_back(options.metrics->MakeInterceptors());
    builder.experimental().SetInterceptorCreators(std::move(creators));
  }
  for (grpc::Service* service : services) builder.RegisterService(service);

  std::unique_ptr<grpc::Server> server;
  RETURN_IF_ERROR(ListenOn(options.socket, [&](const std::string& path) -> absl::Status {
    builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
    server = builder.BuildAndStart();
    if (server == nullptr) return base::Unknown("listen on '{}' failed", path);
    return absl::OkStatus();
  }));
  return std::unique_ptr<GrpcEndpoint>(new GrpcEndpoint(std::move(server), options.socket.path));
}

GrpcEndpoint::~GrpcEndpoint() {
  server_->Shutdown(std::chrono::system_clock::now() + kStopGrace);
  server_->Wait();
  // Best effort: the next start removes what is left.
  (void)::unlink(path_.c_str());
}

}  // namespace ctrd::server
