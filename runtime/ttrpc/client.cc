// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/client.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "runtime/ttrpc/unix_address.h"

namespace ctrd::runtime::ttrpc {
namespace {

constexpr absl::Duration kConnectPause = absl::Milliseconds(5);

absl::Status DeadlineError() { return base::MakeError(absl::StatusCode::kDeadlineExceeded, ""); }

}  // namespace

absl::Status ClosedError() { return absl::UnknownError("ttrpc: closed"); }

bool IsClosedError(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnknown && status.message() == "ttrpc: closed";
}

Request MakeRequest(std::string_view service, std::string_view method, std::string payload,
                    std::string_view namespace_name) {
  return {.service = std::string(service),
          .method = std::string(method),
          .payload = std::move(payload),
          .metadata = {{std::string(kNamespaceKey), std::string(namespace_name)}}};
}

// What the client, the loop's watch and timers share.
struct Client::Core : std::enable_shared_from_this<Client::Core> {
  struct Pending {
    Done done;
    std::optional<base::EventLoop::TimerId> timer;  // Touched on the loop's thread only.
  };

  Core(base::EventLoop* event_loop, base::UniqueFd connection)
      : loop(event_loop), fd(std::move(connection)) {}

  void OnLoop(base::EventLoop::Task task) {
    if (loop->InLoopThread()) return task();
    loop->Post(std::move(task));
  }
  void Start();
  uint32_t Send(Request request, absl::Time deadline, Done done);
  void SendSome();
  void Arm(uint32_t stream, absl::Time deadline);
  std::optional<Done> Forget(uint32_t stream);
  void OnReady(uint32_t events);
  bool Take(Frame frame);
  void Shut();

  base::EventLoop* const loop;
  FrameReader reader;  // Of the loop's thread.
  mutable std::mutex mutex;
  // All below is guarded by the mutex. A stream id is taken and its frame queued in one go: ids
  // must grow on the wire.
  base::UniqueFd fd;
  bool closed = false;
  uint32_t next_stream = 1;
  std::string unsent;
  std::map<uint32_t, Pending> pending;
  std::function<void()> on_close;
};

void Client::Core::Start() {
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
void Client::Core::SendSome() {
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

// Returns the stream of the call, 0 if it failed at once.
uint32_t Client::Core::Send(Request request, absl::Time deadline, Done done) {
  if (deadline != absl::InfiniteFuture()) {
    request.timeout_nanoseconds = absl::ToInt64Nanoseconds(deadline - absl::Now());
    if (request.timeout_nanoseconds == 0) request.timeout_nanoseconds = -1;  // 0 means none.
  }
  std::unique_lock lock(mutex);
  const uint32_t stream = next_stream;
  absl::StatusOr<std::string> frame =
      closed ? absl::StatusOr<std::string>(ClosedError()) : EncodeRequestFrame(stream, request);
  if (!frame.ok()) {
    lock.unlock();
    OnLoop([done = std::move(done), status = frame.status()] { done(status); });
    return 0;
  }
  next_stream += 2;
  pending[stream] = {std::move(done), std::nullopt};
  const bool was_waiting = !unsent.empty();
  unsent += *frame;
  if (was_waiting) return stream;
  SendSome();
  if (!unsent.empty()) {
    lock.unlock();
    OnLoop([self = shared_from_this()] {
      const std::lock_guard relock(self->mutex);
      if (!self->closed) self->loop->Modify(self->fd.get(), EPOLLIN | EPOLLOUT);
    });
  }
  return stream;
}

void Client::Core::Arm(uint32_t stream, absl::Time deadline) {
  OnLoop([self = shared_from_this(), stream, deadline] {
    const std::lock_guard lock(self->mutex);
    const auto call = self->pending.find(stream);
    if (call == self->pending.end()) return;
    call->second.timer = self->loop->After(deadline - absl::Now(), [self, stream] {
      if (const std::optional<Done> done = self->Forget(stream)) (*done)(DeadlineError());
    });
  });
}

std::optional<Client::Done> Client::Core::Forget(uint32_t stream) {
  const std::lock_guard lock(mutex);
  const auto call = pending.find(stream);
  if (call == pending.end()) return std::nullopt;
  if (call->second.timer) loop->Cancel(*call->second.timer);
  Done done = std::move(call->second.done);
  pending.erase(call);
  return done;
}

void Client::Core::OnReady(uint32_t events) {
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
}

bool Client::Core::Take(Frame frame) {
  // Not ttrpc at all: to wait for its end would be to wait for ever.
  if (frame.oversize != 0 && frame.type != kResponse && frame.type != kData) return false;
  const std::optional<Done> done = Forget(frame.stream);
  if (!done) return true;  // Nobody waits for it any more.
  if (frame.oversize != 0) {
    (*done)(OversizeError(frame.oversize));
  } else if (frame.type != kResponse) {
    (*done)(absl::UnknownError("protocol error"));
  } else {
    (*done)(DecodeResponse(frame.data));
  }
  const std::lock_guard lock(mutex);
  return !closed;
}

void Client::Core::Shut() {
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
    call.done(ClosedError());
  }
  if (callback) callback();
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(base::EventLoop* loop,
                                                        const std::string& address,
                                                        absl::Time deadline) {
  ASSIGN_OR_RETURN(const UnixAddress peer, ParseUnixAddress(address));
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return base::ErrnoStatus("socket", address);
  while (::connect(fd.get(), peer.get(), peer.size) != 0) {
    if (errno == EINTR) continue;
    // EAGAIN: its queue is full. There is no descriptor to wait on for that.
    if (errno != EAGAIN) return base::ErrnoStatus("connect", address);
    if (absl::Now() >= deadline) return base::Annotate(DeadlineError(), "connect " + address);
    absl::SleepFor(kConnectPause);
  }
  return Adopt(loop, std::move(fd));
}

std::unique_ptr<Client> Client::Adopt(base::EventLoop* loop, base::UniqueFd connection) {
  auto core = std::make_shared<Core>(loop, std::move(connection));
  core->Start();
  return std::unique_ptr<Client>(new Client(std::move(core)));
}

Client::~Client() { Close(); }

void Client::Close() {
  core_->OnLoop([core = core_] { core->Shut(); });
}

bool Client::closed() const {
  const std::lock_guard lock(core_->mutex);
  return core_->closed;
}

void Client::OnClose(std::function<void()> callback) {
  std::unique_lock lock(core_->mutex);
  if (!core_->closed) {
    core_->on_close = std::move(callback);
    return;
  }
  lock.unlock();
  core_->loop->Post(std::move(callback));
}

void Client::Call(Request request, absl::Time deadline, Done done) {
  const uint32_t stream = core_->Send(std::move(request), deadline, std::move(done));
  if (stream != 0 && deadline != absl::InfiniteFuture()) core_->Arm(stream, deadline);
}

Response Client::CallAndWait(Request request, absl::Time deadline) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable condition;
    std::optional<Response> response;
  };
  const auto waiting = std::make_shared<Waiting>();
  const uint32_t stream = core_->Send(std::move(request), deadline, [waiting](Response response) {
    const std::lock_guard lock(waiting->mutex);
    waiting->response = std::move(response);
    waiting->condition.notify_one();
  });
  std::unique_lock lock(waiting->mutex);
  const auto answered = [&] { return waiting->response.has_value(); };
  if (deadline == absl::InfiniteFuture()) {
    waiting->condition.wait(lock, answered);
  } else if (!waiting->condition.wait_until(lock, absl::ToChronoTime(deadline), answered)) {
    lock.unlock();
    (void)core_->Forget(stream);
    return DeadlineError();
  }
  return *std::move(waiting->response);
}

}  // namespace ctrd::runtime::ttrpc
