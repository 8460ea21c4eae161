// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/events_service.h"

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/event_envelope.h"
#include "daemon/services/event_payload.h"

namespace ctrd::services {
namespace {

using containerd::types::Envelope;

// Writes one event at a time; what comes meanwhile waits in the subscription's queue.
class SubscribeReactor final : public grpc::ServerWriteReactor<Envelope> {
 public:
  SubscribeReactor(events::Exchange& exchange, base::Filter filter) {
    const std::scoped_lock lock(mutex_);
    subscription_ =
        exchange.Subscribe(std::move(filter), EventPayloadField, [this] { WriteNext(); });
    // The headers tell the client that from here on it misses nothing.
    StartSendInitialMetadata();
  }

  void OnWriteDone(bool ok) override {
    {
      const std::scoped_lock lock(mutex_);
      writing_ = false;
      if (!ok) return FinishLocked(grpc::Status::OK);
    }
    WriteNext();
  }

  void OnCancel() override {
    const std::scoped_lock lock(mutex_);
    FinishLocked(grpc::Status::OK);
  }

  void OnDone() override { delete this; }

 private:
  void WriteNext() {
    const std::scoped_lock lock(mutex_);
    if (writing_ || finished_ || subscription_ == nullptr) return;
    auto record = subscription_->Next();
    if (!record.ok()) return FinishLocked(server::ToGrpc(record.status()));
    if (*record == nullptr) return;
    ToProto((*record)->event, &envelope_);
    writing_ = true;
    StartWrite(&envelope_);
  }

  void FinishLocked(const grpc::Status& status) {
    if (std::exchange(finished_, true)) return;
    Finish(status);
  }

  std::mutex mutex_;
  bool writing_ = false;
  bool finished_ = false;
  Envelope envelope_;  // Belongs to the write in flight.
  // Last: goes first, and with it the last call of WriteNext.
  std::unique_ptr<events::Subscription> subscription_;
};

class FailedReactor final : public grpc::ServerWriteReactor<Envelope> {
 public:
  explicit FailedReactor(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::Status EventsService::Publish(grpc::ServerContext* rpc,
                                    const events_v1::PublishRequest* request,
                                    google::protobuf::Empty*) {
  return server::Serve(rpc, "events.Publish", [&](const base::Context& context) -> absl::Status {
    RETURN_IF_ERROR(base::Annotate(base::RequireNamespace(context), "failed publishing event"));
    return exchange_.Publish(
        {.timestamp = absl::Now(),
         .namespace_name = context.namespace_name(),
         .topic = request->topic(),
         .payload = {.type_url = request->event().type_url(), .value = request->event().value()}});
  });
}

grpc::Status EventsService::Forward(grpc::ServerContext* rpc,
                                    const events_v1::ForwardRequest* request,
                                    google::protobuf::Empty*) {
  return server::Serve(rpc, "events.Forward", [&](const base::Context&) -> absl::Status {
    return exchange_.Publish(FromProto(request->envelope()));
  });
}

grpc::ServerWriteReactor<Envelope>* EventsService::Subscribe(
    grpc::CallbackServerContext*, const events_v1::SubscribeRequest* request) {
  const std::vector<std::string> texts(request->filters().begin(), request->filters().end());
  auto filter = base::Filter::Parse(texts);
  if (!filter.ok()) {
    return new FailedReactor(server::ToGrpc(base::WithCode(
        base::Annotate(filter.status(), "subscription error: failed parsing subscription filters"),
        absl::StatusCode::kUnknown)));
  }
  return new SubscribeReactor(exchange_, *std::move(filter));
}

}  // namespace ctrd::services
