// SPDX-License-Identifier: Apache-2.0

// The daemon's ttrpc socket, where shims hand in their events:
// containerd.services.events.ttrpc.v1.Events/Forward. Only processes of our own user and group are
// served. Source documents: docs/api/events.md, docs/api/ttrpc.md.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event.h"
#include "base/event_loop.h"
#include "daemon/server/grpc_endpoint.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::server {

// Serves from Start until it is destroyed, on a thread of its own. One event is answered when the
// sink has taken it, and one after another: a shim's events keep their order.
class TtrpcEndpoint {
 public:
  // `events` outlives the endpoint.
  static absl::StatusOr<std::unique_ptr<TtrpcEndpoint>> Start(const SocketOptions& socket,
                                                              base::EventSink* events);
  ~TtrpcEndpoint();

 private:
  TtrpcEndpoint(std::unique_ptr<base::EventLoopThread> thread, std::string path);
  // Runs `task` on the loop's thread and waits for it.
  void OnLoop(const std::function<void()>& task);

  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<runtime::ttrpc::Server> server_;  // Belongs to the loop's thread.
  const std::string path_;
};

}  // namespace ctrd::server
