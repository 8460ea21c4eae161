// SPDX-License-Identifier: Apache-2.0
#include "daemon/server/ttrpc_endpoint.h"

#include <unistd.h>

#include <future>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "base/wire.h"

namespace ctrd::server {
namespace {

constexpr char kEventsService[] = "containerd.services.events.ttrpc.v1.Events";

namespace ttrpc = runtime::ttrpc;

absl::Status Malformed() {
  return absl::InternalError("ttrpc: error unmarshalling payload: malformed message");
}

// A containerd.types.Envelope.
absl::StatusOr<base::Event> DecodeEnvelope(std::string_view bytes) {
  base::Event event{.timestamp = absl::UnixEpoch()};
  base::WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) event.timestamp = base::ReadWireTime(field->bytes);
    if (field->number == 2) event.namespace_name = field->bytes;
    if (field->number == 3) event.topic = field->bytes;
    if (field->number == 4) event.payload = base::ReadWireAny(field->bytes);
  }
  if (!reader.ok()) return Malformed();
  return event;
}

absl::Status Forward(base::EventSink& events, std::string_view payload) {
  std::string_view envelope;
  base::WireReader reader(payload);
  while (auto field = reader.Next()) {
    if (field->number == 1) envelope = field->bytes;
  }
  if (!reader.ok()) return Malformed();
  ASSIGN_OR_RETURN(const base::Event event, DecodeEnvelope(envelope));
  return events.Publish(event);
}

}  // namespace

TtrpcEndpoint::TtrpcEndpoint(std::unique_ptr<base::EventLoopThread> thread, std::string path)
    : thread_(std::move(thread)), path_(std::move(path)) {}

void TtrpcEndpoint::OnLoop(const std::function<void()>& task) {
  std::promise<void> done;
  thread_->loop()->Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

absl::StatusOr<std::unique_ptr<TtrpcEndpoint>> TtrpcEndpoint::Start(const SocketOptions& socket,
                                                                    base::EventSink* events) {
  ASSIGN_OR_RETURN(auto thread, base::EventLoopThread::Create());
  std::unique_ptr<TtrpcEndpoint> endpoint(new TtrpcEndpoint(std::move(thread), socket.path));
  base::UniqueFd listener;
  RETURN_IF_ERROR(ListenOn(socket, [&](const std::string& path) -> absl::Status {
    ASSIGN_OR_RETURN(listener, ttrpc::ListenUnix(path));
    return absl::OkStatus();
  }));
  absl::Status listening;
  endpoint->OnLoop([&] {
    endpoint->server_ = std::make_unique<ttrpc::Server>(endpoint->thread_->loop());
    endpoint->server_->AddService(
        kEventsService,
        {{"Forward", [events](const ttrpc::Call& call, const ttrpc::Responder& responder) {
            const absl::Status status = Forward(*events, call.payload);
            if (!status.ok()) base::LogWarn("event of a shim refused", {{"error", status}});
            responder.Reply(status.ok() ? ttrpc::Response(std::string()) : ttrpc::Response(status));
          }}});
    listening = endpoint->server_->Listen(std::move(listener));
  });
  RETURN_IF_ERROR(listening);
  return endpoint;
}

TtrpcEndpoint::~TtrpcEndpoint() {
  OnLoop([this] { server_.reset(); });
  // Best effort: the next start removes what is left.
  (void)::unlink(path_.c_str());
}

}  // namespace ctrd::server
