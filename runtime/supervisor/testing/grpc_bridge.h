// SPDX-License-Identifier: Apache-2.0

// GrpcBridge: makes a shim that speaks ttrpc one that speaks gRPC. It listens on a UNIX socket and
// passes each unary call of any service on, as bytes, over a ttrpc client.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/grpcpp.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime {

class GrpcBridge final : public grpc::CallbackGenericService {
 public:
  // Serves whoever connects to `listener`. `client` outlives the bridge.
  GrpcBridge(ttrpc::Client* client, base::UniqueFd listener);
  // Cuts connections off, as the end of a process does, and stops listening.
  ~GrpcBridge() override;
  void DropConnections();

 private:
  class Call;
  void Accept();
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* call) override;

  ttrpc::Client* const client_;
  const base::UniqueFd listener_;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::vector<base::UniqueFd> connections_;  // Second descriptors of them.
  std::thread acceptor_;
};

}  // namespace ctrd::runtime
