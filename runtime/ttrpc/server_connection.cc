// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/server_connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/status.h"

namespace ctrd::runtime::ttrpc {
namespace {

// A peer that asks and does not read the answers is not asked for more beyond this.
constexpr size_t kMostUnsentBytes = 2 * kMaxMessageBytes;

}  // namespace

absl::Status ServerConnection::Start() {
  return loop_->Add(fd_.get(), watched_, [this](uint32_t events) { OnReady(events); });
}

void ServerConnection::Close() {
  const auto self = shared_from_this();
  if (!fd_.valid()) return;
  loop_->Remove(fd_.get());
  fd_.Reset();
  for (const auto& [stream, timer] : calls_) {
    if (timer) loop_->Cancel(*timer);
  }
  calls_.clear();
  unsent_.clear();
  server_->Closed(this);
}

void ServerConnection::OnReady(uint32_t events) {
  const auto self = shared_from_this();
  if ((events & EPOLLOUT) != 0) {
    Flush();
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
    // All methods here are unary: data has no place, and ends the call it came for.
    if (const auto call = calls_.find(stream); call != calls_.end()) {
      if (call->second) loop_->Cancel(*call->second);
      calls_.erase(call);
    }
    Refuse(stream, absl::InvalidArgumentError("StreamID is no longer active"));
  } else if (frame.type == kRequest) {
    if (stream <= last_stream_) {
      Refuse(stream, absl::InvalidArgumentError("StreamID cannot be re-used and must increment"));
      return fd_.valid();
    }
    last_stream_ = stream;
    const absl::StatusOr<Request> request = DecodeRequest(frame.data);
    if (request.ok()) {
      Dispatch(stream, *request);
    } else {
      Refuse(stream, request.status());
    }
  }
  return fd_.valid();
}

void ServerConnection::Dispatch(uint32_t stream, const Request& request) {
  const auto service = server_->services_.find(request.service);
  if (service == server_->services_.end()) {
    return Refuse(stream, absl::UnimplementedError("service " + request.service));
  }
  const auto handler = service->second.find(request.method);
  if (handler == service->second.end()) {
    return Refuse(stream, absl::UnimplementedError("method " + request.method));
  }
  Timer timer;
  if (request.timeout_nanoseconds != 0) {
    timer = loop_->After(
        absl::Nanoseconds(request.timeout_nanoseconds), [weak = weak_from_this(), stream] {
          if (const auto self = weak.lock()) {
            self->Answer(stream, base::MakeError(absl::StatusCode::kDeadlineExceeded, ""));
          }
        });
  }
  calls_[stream] = timer;
  handler->second({request.method, request.payload, request.metadata},
                  MakeResponder(loop_, shared_from_this(), stream));
}

void ServerConnection::Answer(uint32_t stream, Response response) {
  const auto call = calls_.find(stream);
  if (call == calls_.end()) return;
  if (call->second) loop_->Cancel(*call->second);
  calls_.erase(call);
  Send(stream, response);
  if (server_->draining_ && idle()) Close();
}

void ServerConnection::Refuse(uint32_t stream, absl::Status status) {
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
  if (unsent_.size() < kMostUnsentBytes) events |= EPOLLIN;
  if (!unsent_.empty()) events |= EPOLLOUT;
  if (events != watched_) loop_->Modify(fd_.get(), events);
  watched_ = events;
}

}  // namespace ctrd::runtime::ttrpc
