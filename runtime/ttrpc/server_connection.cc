// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/server_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/status.h"

namespace ctrd::runtime::ttrpc {
namespace {

// Of a message that could not be taken.
absl::Status DataError(const absl::Status& why) {
  return absl::InvalidArgumentError(
      base::ToAbsl(fmt::format("data handling error: {}", base::MessageOf(why))));
}

}  // namespace

absl::Status ServerConnection::Start() {
  return loop_->Add(fd_.get(), watched_, [this](uint32_t events) { OnReady(events); });
}

void ServerConnection::Close() {
  const auto self = shared_from_this();
  if (!fd_.valid()) return;
  loop_->Remove(fd_.get());
  fd_.Reset();
  unsent_.clear();
  // What is told of its end may look for its stream.
  const auto calls = std::exchange(calls_, {});
  server_->Closed(this);
  for (const auto& [stream, call] : calls) {
    if (call.timer) loop_->Cancel(*call.timer);
    if (call.receiver) call.receiver->Abort(base::MakeError(absl::StatusCode::kCancelled, ""));
  }
}

void ServerConnection::OnReady(uint32_t events) {
  const auto self = shared_from_this();
  if ((events & EPOLLOUT) != 0) {
    Flush();
    TellWritable();
    if (server_->draining_ && idle()) return Close();
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || !fd_.valid()) return;
  if (!reader_.ReadFrom(fd_.get(), [this](Frame frame) { return Take(std::move(frame)); })) {
    Close();
  }
}

bool ServerConnection::Take(Frame frame) {
  const uint32_t stream = frame.stream;
  if (frame.oversize != 0) {
    Refuse(stream, OversizeError(frame.oversize));
  } else if (stream % 2 == 0) {
    Refuse(stream, absl::InvalidArgumentError("StreamID must be odd for client initiated streams"));
  } else if (frame.type == kData) {
    TakeData(std::move(frame));
  } else if (frame.type == kRequest) {
    TakeRequest(stream, frame.data);
  }
  return fd_.valid();
}

void ServerConnection::TakeRequest(uint32_t stream, std::string_view data) {
  if (stream <= last_stream_) {
    return Refuse(stream,
                  absl::InvalidArgumentError("StreamID cannot be re-used and must increment"));
  }
  last_stream_ = stream;
  const absl::StatusOr<Request> request = DecodeRequest(data);
  if (!request.ok()) return Refuse(stream, request.status());
  Dispatch(stream, *request);
}

void ServerConnection::TakeData(Frame frame) {
  const auto call = calls_.find(frame.stream);
  if (call == calls_.end() || call->second.receiver == nullptr) {
    // Of a unary method: data has no place, and ends the call it came for.
    (void)Forget(frame.stream);
    return Refuse(frame.stream, absl::InvalidArgumentError("StreamID is no longer active"));
  }
  const auto receiver = call->second.receiver;
  const bool closes = (frame.flags & kRemoteClosed) != 0;
  const bool with_data = !frame.data.empty();
  const bool was_closed =
      std::exchange(call->second.peer_closed, call->second.peer_closed || closes);
  if ((frame.flags & kNoData) == 0) {
    const absl::Status error = was_closed                                 ? StreamClosedError()
                               : receiver->Message(std::move(frame.data)) ? absl::OkStatus()
                                                                          : StreamFullError();
    if (!error.ok()) return Break(frame.stream, DataError(error));
  }
  if (!closes) return;
  if (with_data) {
    return Break(frame.stream,
                 absl::InvalidArgumentError("data close message cannot include data"));
  }
  if (!was_closed) receiver->Closed();
}

void ServerConnection::Dispatch(uint32_t stream, const Request& request) {
  const auto service = server_->services_.find(request.service);
  const auto streams = server_->streams_.find(request.service);
  if (service == server_->services_.end() && streams == server_->streams_.end()) {
    return Refuse(stream, absl::UnimplementedError("service " + request.service));
  }
  if (streams != server_->streams_.end()) {
    const auto method = streams->second.find(request.method);
    if (method != streams->second.end()) return DispatchStream(stream, request, method->second);
  }
  const Handler* handler = nullptr;
  if (service != server_->services_.end()) {
    const auto method = service->second.find(request.method);
    if (method != service->second.end()) handler = &method->second;
  }
  if (handler == nullptr) {
    return Refuse(stream, absl::UnimplementedError("method " + request.method));
  }
  (void)Begin(stream, request);
  (*handler)({request.method, request.payload, request.metadata},
             MakeResponder(loop_, shared_from_this(), stream));
}

void ServerConnection::DispatchStream(uint32_t stream, const Request& request,
                                      const StreamMethod& method) {
  const auto receiver = std::make_shared<StreamReceiver>();
  const bool more_follows = method.kind != StreamKind::kServerStreams;
  Running& call = Begin(stream, request);
  call.receiver = receiver;
  call.kind = method.kind;
  call.peer_closed = !more_follows;
  // A first message that is empty cannot be told from none.
  if (!request.payload.empty() || !more_follows) (void)receiver->Message(request.payload);
  if (!more_follows) receiver->Closed();
  receiver->Begin(method.open({request.method, request.payload, request.metadata},
                              ServerStream(weak_from_this(), stream)));
}

ServerConnection::Running& ServerConnection::Begin(uint32_t stream, const Request& request) {
  Running& call = calls_[stream];
  if (request.timeout_nanoseconds != 0) {
    call.timer = loop_->After(
        absl::Nanoseconds(request.timeout_nanoseconds), [weak = weak_from_this(), stream] {
          if (const auto self = weak.lock()) {
            self->Break(stream, base::MakeError(absl::StatusCode::kDeadlineExceeded, ""));
          }
        });
  }
  return call;
}

std::optional<ServerConnection::Running> ServerConnection::Forget(uint32_t stream) {
  const auto call = calls_.find(stream);
  if (call == calls_.end()) return std::nullopt;
  if (call->second.timer) loop_->Cancel(*call->second.timer);
  Running forgotten = std::move(call->second);
  calls_.erase(call);
  return forgotten;
}

void ServerConnection::Answer(uint32_t stream, Response response) {
  if (!Forget(stream)) return;
  Send(stream, response);
  if (server_->draining_ && idle()) Close();
}

void ServerConnection::Break(uint32_t stream, absl::Status status) {
  const auto self = shared_from_this();
  const std::optional<Running> call = Forget(stream);
  if (!call) return;
  Send(stream, status);
  if (call->receiver) call->receiver->Abort(std::move(status));
  if (server_->draining_ && idle()) Close();
}

absl::Status ServerConnection::SendMessage(uint32_t stream, std::string_view message) {
  const auto call = calls_.find(stream);
  if (call == calls_.end() || call->second.kind == StreamKind::kClientStreams) {
    return StreamClosedError();
  }
  if (unsent_.size() >= kMostUnsentBytes) {
    call->second.wants_to_send = true;
    return UnsentError();
  }
  ASSIGN_OR_RETURN(const std::string frame, EncodeDataFrame(stream, 0, message));
  unsent_ += frame;
  Flush();
  return absl::OkStatus();
}

void ServerConnection::FinishStream(uint32_t stream, Response result) {
  const auto self = shared_from_this();
  const std::optional<Running> call = Forget(stream);
  if (!call) return;
  call->receiver->Drop();
  absl::StatusOr<std::string> last;
  if (result.ok() && call->kind != StreamKind::kClientStreams) {
    last =
        EncodeDataFrame(stream, result->empty() ? kRemoteClosed | kNoData : kRemoteClosed, *result);
    if (!last.ok()) result = last.status();
  }
  if (result.ok() && call->kind != StreamKind::kClientStreams) {
    unsent_ += *last;
    Flush();
  } else {
    Send(stream, result);
  }
  if (server_->draining_ && idle()) Close();
}

std::shared_ptr<StreamReceiver> ServerConnection::ReceiverOf(uint32_t stream) const {
  const auto call = calls_.find(stream);
  return call == calls_.end() ? nullptr : call->second.receiver;
}

void ServerConnection::TellWritable() {
  if (unsent_.size() > kMostUnsentBytes / 2) return;
  std::vector<std::shared_ptr<StreamReceiver>> waiting;
  for (auto& [stream, call] : calls_) {
    if (std::exchange(call.wants_to_send, false)) waiting.push_back(call.receiver);
  }
  for (const auto& receiver : waiting) receiver->Writable();
}

void ServerConnection::Refuse(uint32_t stream, absl::Status status) {
  // To the client this is the end of the stream, if it has one of that number.
  if (ReceiverOf(stream) != nullptr) return Break(stream, std::move(status));
  Send(stream, std::move(status));
}

void ServerConnection::Send(uint32_t stream, const Response& response) {
  if (!fd_.valid()) return;
  absl::StatusOr<std::string> frame = EncodeResponseFrame(stream, response);
  if (!frame.ok()) frame = EncodeResponseFrame(stream, frame.status());
  unsent_ += *frame;
  Flush();
}

void ServerConnection::Flush() {
  const auto self = shared_from_this();
  if (!fd_.valid()) return;
  size_t sent = 0;
  while (sent < unsent_.size()) {
    const ssize_t count = ::send(fd_.get(), unsent_.data() + sent, unsent_.size() - sent,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) return Close();
    if (count < 0) break;
    sent += static_cast<size_t>(count);
  }
  unsent_.erase(0, sent);
  uint32_t events = 0;
  // A peer that asks and does not read the answers is not asked for more.
  if (unsent_.size() < kMostUnsentBytes) events |= EPOLLIN;
  if (!unsent_.empty()) events |= EPOLLOUT;
  if (events != watched_) loop_->Modify(fd_.get(), events);
  watched_ = events;
}

}  // namespace ctrd::runtime::ttrpc
