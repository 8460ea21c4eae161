// SPDX-License-Identifier: Apache-2.0

// ctrd.events.v1.Replay over the daemon's event log: events that were accepted before somebody
// asked. A reader costs neither a thread nor a queue.
// Source document: docs/api/event-replay.md.
#pragma once

#include "ctrd/events/v1/replay.grpc.pb.h"
#include "daemon/events/exchange.h"

namespace ctrd::services {

namespace replay_v1 = ::ctrd::events::v1;

class EventReplayService final : public replay_v1::Replay::CallbackService {
 public:
  // `exchange` has a log.
  explicit EventReplayService(events::Exchange& exchange) : exchange_(exchange) {}

  grpc::ServerWriteReactor<replay_v1::ReadResponse>* Read(
      grpc::CallbackServerContext* rpc, const replay_v1::ReadRequest* request) override;

 private:
  events::Exchange& exchange_;
};

}  // namespace ctrd::services
