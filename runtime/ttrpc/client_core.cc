// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/client_core.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::runtime::ttrpc {

absl::Status DeadlineError() { return base::MakeError(absl::StatusCode::kDeadlineExceeded, ""); }

void ClientCore::Pending::End(Response response) const {
  if (receiver != nullptr) return receiver->End(std::move(response));
  done(std::move(response));
}

void ClientCore::OnLoop(base::EventLoop::Task task) {
  if (loop->InLoopThread()) return task();
  loop->Post(std::move(task));
}

void ClientCore::Start() {
  OnLoop([self = shared_from_this()] {
    std::unique_lock lock(self->mutex);
    if (self->closed) return;
    const uint32_t events = self->unsent.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
    const absl::Status added =
        self->loop->Add(self->fd.get(), events, [self](uint32_t ready) { self->OnReady(ready); });
    lock.unlock();
    if (!added.ok()) self->Shut();
  });
}

// Writes what the socket takes; the rest follows when it is ready. With the mutex held.
void ClientCore::SendSome() {
  size_t sent = 0;
  while (sent < unsent.size()) {
    const ssize_t count =
        ::send(fd.get(), unsent.data() + sent, unsent.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) return unsent.clear();  // The loop sees the connection end.
    sent += static_cast<size_t>(count);
  }
  unsent.erase(0, sent);
}

void ClientCore::Queue(std::string_view frame) {
  const bool was_waiting = !unsent.empty();
  unsent += frame;
  if (was_waiting) return;
  SendSome();
  if (unsent.empty()) return;
  // Not from within the lock.
  loop->Post([self = shared_from_this()] {
    const std::lock_guard lock(self->mutex);
    if (!self->closed && !self->unsent.empty()) {
      self->loop->Modify(self->fd.get(), EPOLLIN | EPOLLOUT);
    }
  });
}

uint32_t ClientCore::Send(Request request, absl::Time deadline, Pending call) {
  if (deadline != absl::InfiniteFuture()) {
    request.timeout_nanoseconds = absl::ToInt64Nanoseconds(deadline - absl::Now());
    if (request.timeout_nanoseconds == 0) request.timeout_nanoseconds = -1;  // 0 means none.
  }
  const uint8_t flags = !call.is_stream()                         ? 0
                        : call.kind == StreamKind::kServerStreams ? kRemoteClosed
                                                                  : kRemoteOpen;
  const std::lock_guard lock(mutex);
  const uint32_t stream = next_stream;
  absl::StatusOr<std::string> frame = closed ? absl::StatusOr<std::string>(ClosedError())
                                             : EncodeRequestFrame(stream, request, flags);
  if (!frame.ok()) {
    loop->Post([call = std::move(call), status = frame.status()] { call.End(status); });
    return 0;
  }
  next_stream += 2;
  pending[stream] = std::move(call);
  Queue(*frame);
  return stream;
}

void ClientCore::Arm(uint32_t stream, absl::Time deadline) {
  OnLoop([self = shared_from_this(), stream, deadline] {
    const std::lock_guard lock(self->mutex);
    const auto call = self->pending.find(stream);
    if (call == self->pending.end()) return;
    call->second.timer = self->loop->After(deadline - absl::Now(), [self, stream] {
      const std::optional<Pending> late = self->Abandon(stream);
      if (!late) return;
      if (late->is_stream()) return late->receiver->Abort(DeadlineError());
      late->done(DeadlineError());
    });
  });
}

std::optional<ClientCore::Pending> ClientCore::Forget(uint32_t stream) {
  const std::lock_guard lock(mutex);
  const auto call = pending.find(stream);
  if (call == pending.end()) return std::nullopt;
  if (call->second.timer) loop->Cancel(*call->second.timer);
  Pending forgotten = std::move(call->second);
  pending.erase(call);
  return forgotten;
}

std::optional<ClientCore::Pending> ClientCore::Abandon(uint32_t stream) {
  std::optional<Pending> call = Forget(stream);
  if (!call || !call->is_stream() || call->send_closed) return call;
  const std::lock_guard lock(mutex);
  // The server may wait for more.
  if (!closed) Queue(*EncodeDataFrame(stream, kRemoteClosed | kNoData, ""));
  return call;
}

absl::Status ClientCore::SendData(uint32_t stream, uint8_t flags, std::string_view message) {
  ASSIGN_OR_RETURN(const std::string frame, EncodeDataFrame(stream, flags, message));
  const std::lock_guard lock(mutex);
  const auto call = pending.find(stream);
  if (call == pending.end() || call->second.send_closed) return StreamClosedError();
  const bool closes = (flags & kRemoteClosed) != 0;
  // Closing is never refused: it is the last frame.
  if (!closes && unsent.size() >= kMostUnsentBytes) {
    call->second.wants_to_send = true;
    return UnsentError();
  }
  call->second.send_closed = closes;
  Queue(frame);
  return absl::OkStatus();
}

void ClientCore::OnReady(uint32_t events) {
  const auto self = shared_from_this();
  int borrowed = -1;
  {
    const std::lock_guard lock(mutex);
    if (closed) return;
    borrowed = fd.get();
    if ((events & EPOLLOUT) != 0) {
      SendSome();
      if (unsent.empty()) loop->Modify(borrowed, EPOLLIN);
    }
  }
  // Only Shut closes the descriptor, on this thread.
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
      !reader.ReadFrom(borrowed, [this](Frame frame) { return Take(std::move(frame)); })) {
    Shut();
  }
  if ((events & EPOLLOUT) != 0) TellWritable();
}

bool ClientCore::Take(Frame frame) {
  // Not ttrpc at all: to wait for its end would be to wait for ever.
  if (frame.oversize != 0 && frame.type != kResponse && frame.type != kData) return false;
  std::shared_ptr<StreamReceiver> receiver;
  StreamKind kind = StreamKind::kClientStreams;
  {
    const std::lock_guard lock(mutex);
    const auto call = pending.find(frame.stream);
    if (call == pending.end()) {
      // Nobody waits for it any more. Nobody ever did: what comes early and never ends, of a peer
      // that speaks something else, would hide the answers behind it.
      return frame.oversize == 0 || frame.stream < next_stream;
    }
    receiver = call->second.receiver;
    kind = call->second.kind;
  }
  if (receiver != nullptr && frame.type == kData && frame.oversize == 0) {
    TakeStream(std::move(frame), receiver, kind);
  } else if (const std::optional<Pending> call = Forget(frame.stream)) {
    call->End(frame.oversize != 0       ? OversizeError(frame.oversize)
              : frame.type != kResponse ? absl::UnknownError("protocol error")
                                        : DecodeResponse(frame.data));
  }
  const std::lock_guard lock(mutex);
  return !closed;
}

void ClientCore::TakeStream(Frame frame, const std::shared_ptr<StreamReceiver>& receiver,
                            StreamKind kind) {
  if (kind == StreamKind::kClientStreams) {
    if (Abandon(frame.stream)) receiver->End(absl::UnknownError("protocol error"));
    return;
  }
  const bool last = (frame.flags & kRemoteClosed) != 0;
  if (last) (void)Forget(frame.stream);  // Before its user is told of the end.
  if ((frame.flags & kNoData) == 0 && !receiver->Message(std::move(frame.data))) {
    if (!last) (void)Abandon(frame.stream);
    return receiver->Abort(StreamFullError());
  }
  if (last) receiver->End(std::string());
}

void ClientCore::TellWritable() {
  std::vector<std::shared_ptr<StreamReceiver>> waiting;
  {
    const std::lock_guard lock(mutex);
    if (unsent.size() > kMostUnsentBytes / 2) return;
    for (auto& [stream, call] : pending) {
      if (std::exchange(call.wants_to_send, false)) waiting.push_back(call.receiver);
    }
  }
  for (const auto& stream : waiting) stream->Writable();
}

void ClientCore::Shut() {
  std::map<uint32_t, Pending> ended;
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex);
    if (closed) return;
    closed = true;
    loop->Remove(fd.get());
    fd.Reset();
    unsent.clear();
    ended.swap(pending);
    callback.swap(on_close);
  }
  for (auto& [stream, call] : ended) {
    if (call.timer) loop->Cancel(*call.timer);
    call.End(ClosedError());
  }
  if (callback) callback();
}

}  // namespace ctrd::runtime::ttrpc
