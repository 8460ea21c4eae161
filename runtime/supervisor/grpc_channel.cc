// SPDX-License-Identifier: Apache-2.0

// Shims that speak gRPC. Their messages are passed as bytes, by the names of services and methods.
//
// A channel of gRPC makes lost connections anew, and would find another shim behind the same
// socket. So it is given one connection, which is the only one it ever has; and because it does not
// tell of its end, a second descriptor of that connection is watched for it.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "grpcpp/create_channel_posix.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/support/byte_buffer.h"
#include "runtime/supervisor/shim_channel.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime {
namespace {

constexpr char kNamespaceHeader[] = "containerd-namespace";
constexpr int kMessageLimitBytes = 16 << 20;
// What gRPC still has to read when the peer has gone; then the calls are ended all the same.
constexpr absl::Duration kLastWords = absl::Seconds(1);

using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// Its context holds the channel, and the last one of a channel must not go on a thread of gRPC,
// which would wait for itself: operations go on the loop.
struct Operation {
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
  ShimChannel::Done done;
};

// What the channel, the loop's watch and the threads of gRPC share.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(base::EventLoop* loop, base::UniqueFd watched, std::shared_ptr<grpc::Channel> channel)
      : loop_(loop), watched_(std::move(watched)), channel_(std::move(channel)) {}

  void Start();
  void Call(ShimCall call, absl::Time deadline, ShimChannel::Done done);
  void OnClose(std::function<void()> callback);
  // The connection is gone, or is to go.
  void End(bool by_peer);
  bool closed() const {
    const std::scoped_lock lock(mutex_);
    return closed_;
  }
  void AwaitIdle();

 private:
  void Finished(Operation* operation, const grpc::Status& status);
  absl::StatusOr<std::string> Result(const Operation& operation, const grpc::Status& status);
  bool PeerIsGone() const;  // With the mutex held.
  void CancelAll();
  void TellClosed();  // With the mutex held.

  base::EventLoop* const loop_;
  mutable std::mutex mutex_;
  // All below is guarded by the mutex.
  std::condition_variable idle_;
  base::UniqueFd watched_;
  std::shared_ptr<grpc::Channel> channel_;
  std::map<Operation*, std::shared_ptr<Operation>> running_;
  bool closed_ = false;  // No further call begins.
  bool ended_ = false;   // The loop has let go of the connection.
  bool told_ = false;
  std::function<void()> on_close_;
};

void Core::Start() {
  loop_->Post([self = shared_from_this()] {
    std::unique_lock lock(self->mutex_);
    if (self->ended_) return;
    const absl::Status added = self->loop_->Add(self->watched_.get(), EPOLLRDHUP,
                                                [self](uint32_t) { self->End(/*by_peer=*/true); });
    lock.unlock();
    if (!added.ok()) self->End(/*by_peer=*/false);
  });
}

void Core::Call(ShimCall call, absl::Time deadline, ShimChannel::Done done) {
  auto operation = std::make_shared<Operation>();
  operation->done = std::move(done);
  operation->context.AddMetadata(kNamespaceHeader, call.namespace_name);
  if (deadline != absl::InfiniteFuture()) {
    operation->context.set_deadline(absl::ToChronoTime(deadline));
  }
  const grpc::Slice payload(call.payload);
  operation->request = grpc::ByteBuffer(&payload, 1);
  std::optional<Stub> stub;
  {
    const std::scoped_lock lock(mutex_);
    if (closed_) {
      loop_->Post([operation] { operation->done(ttrpc::ClosedError()); });
      return;
    }
    running_[operation.get()] = operation;
    stub.emplace(channel_);
  }
  stub->UnaryCall(&operation->context, fmt::format("/{}/{}", call.service, call.method),
                  grpc::StubOptions(), &operation->request, &operation->response,
                  [self = shared_from_this(), raw = operation.get()](const grpc::Status& status) {
                    self->Finished(raw, status);
                  });
}

// On a thread of gRPC.
void Core::Finished(Operation* operation, const grpc::Status& status) {
  const std::scoped_lock lock(mutex_);
  // An answer that came before the end counts.
  if (!status.ok() && PeerIsGone()) closed_ = true;
  auto owned = running_.extract(operation);
  loop_->Post([owned = std::move(owned.mapped()), result = Result(*operation, status)]() mutable {
    owned->done(std::move(result));
    owned.reset();
  });
  if (!running_.empty()) return;
  if (ended_) TellClosed();
  idle_.notify_all();
}

absl::StatusOr<std::string> Core::Result(const Operation& operation, const grpc::Status& status) {
  if (status.ok()) return BytesOf(operation.response);
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return base::MakeError(absl::StatusCode::kDeadlineExceeded, "");
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INTERNAL:
      // These are also what gRPC says of a connection that breaks.
      if (closed_) return ttrpc::ClosedError();
      break;
    case grpc::StatusCode::UNKNOWN:
      if (closed_ && status.error_message() == "Stream removed") return ttrpc::ClosedError();
      break;
    default:
      break;
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      base::ToAbsl(status.error_message()));
}

bool Core::PeerIsGone() const {
  if (!watched_.valid()) return true;
  pollfd poll{.fd = watched_.get(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&poll, 1, 0) > 0;
}

void Core::OnClose(std::function<void()> callback) {
  const std::scoped_lock lock(mutex_);
  if (!told_) {
    on_close_ = std::move(callback);
  } else {
    loop_->Post(std::move(callback));
  }
}

void Core::TellClosed() {
  told_ = true;
  // Behind what the calls ended with.
  if (auto callback = std::exchange(on_close_, nullptr)) loop_->Post(std::move(callback));
}

void Core::End(bool by_peer) {
  std::shared_ptr<grpc::Channel> channel;  // Goes without the lock.
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    if (ended_) return;
    ended_ = true;
    loop_->Remove(watched_.get());
    watched_.Reset();
    channel.swap(channel_);
    if (running_.empty()) return TellClosed();
  }
  if (!by_peer) return CancelAll();
  (void)loop_->After(kLastWords, [self = shared_from_this()] { self->CancelAll(); });
}

void Core::CancelAll() {
  std::map<Operation*, std::shared_ptr<Operation>> running;
  {
    const std::scoped_lock lock(mutex_);
    running = running_;
  }
  for (const auto& [operation, owner] : running) operation->context.TryCancel();
}

void Core::AwaitIdle() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  lock.unlock();
  CancelAll();
  lock.lock();
  idle_.wait(lock, [this] { return running_.empty(); });
}

class GrpcChannel final : public ShimChannel {
 public:
  explicit GrpcChannel(base::EventLoop* loop, std::shared_ptr<Core> core)
      : loop_(loop), core_(std::move(core)) {
    core_->Start();
  }
  // Threads of gRPC use the loop, which may go after this: none of them may be in a call.
  ~GrpcChannel() override {
    core_->AwaitIdle();
    Close();
  }
  void Call(ShimCall call, absl::Time deadline, Done done) override {
    core_->Call(std::move(call), deadline, std::move(done));
  }
  void OnClose(std::function<void()> callback) override { core_->OnClose(std::move(callback)); }
  void Close() override {
    if (loop_->InLoopThread()) return core_->End(/*by_peer=*/false);
    loop_->Post([core = core_] { core->End(/*by_peer=*/false); });
  }
  bool closed() const override { return core_->closed(); }

 private:
  base::EventLoop* const loop_;
  const std::shared_ptr<Core> core_;
};

}  // namespace

std::unique_ptr<ShimChannel> AdoptGrpc(base::EventLoop* loop, base::UniqueFd connection) {
  base::UniqueFd watched(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageLimitBytes);
  auto channel = grpc::CreateCustomInsecureChannelFromFd("shim", connection.Release(), arguments);
  return std::make_unique<GrpcChannel>(
      loop, std::make_shared<Core>(loop, std::move(watched), std::move(channel)));
}

}  // namespace ctrd::runtime
