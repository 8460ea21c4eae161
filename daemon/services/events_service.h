// SPDX-License-Identifier: Apache-2.0

// containerd.services.events.v1.Events over the daemon's event bus.
// A subscriber costs no thread: events are written as the stream takes them.
// Source document: docs/api/events.md.
#pragma once

#include "daemon/events/exchange.h"
#include "services/events/v1/events.grpc.pb.h"

namespace ctrd::services {

namespace events_v1 = containerd::services::events::v1;

class EventsService final
    : public events_v1::Events::WithCallbackMethod_Subscribe<events_v1::Events::Service> {
 public:
  explicit EventsService(events::Exchange& exchange) : exchange_(exchange) {}

  grpc::Status Publish(grpc::ServerContext* rpc, const events_v1::PublishRequest* request,
                       google::protobuf::Empty* response) override;
  grpc::Status Forward(grpc::ServerContext* rpc, const events_v1::ForwardRequest* request,
                       google::protobuf::Empty* response) override;
  grpc::ServerWriteReactor<containerd::types::Envelope>* Subscribe(
      grpc::CallbackServerContext* rpc, const events_v1::SubscribeRequest* request) override;

 private:
  events::Exchange& exchange_;
};

}  // namespace ctrd::services
