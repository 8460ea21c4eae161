// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/testing/grpc_bridge.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "grpcpp/server_posix.h"

namespace ctrd::runtime {
namespace {

constexpr char kNamespaceHeader[] = "containerd-namespace";

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

absl::Time DeadlineOf(const grpc::CallbackServerContext& call) {
  const auto deadline = call.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

}  // namespace

// One call: reads the request, asks, writes the answer. Ends early when its client goes; the answer
// then finds nobody.
class GrpcBridge::Call final : public grpc::ServerGenericBidiReactor {
 public:
  Call(ttrpc::Client& client, grpc::GenericCallbackServerContext* call)
      : client_(client), call_(call) {
    StartRead(&request_);
  }

 private:
  // What the answer finds its call by.
  struct Link {
    explicit Link(Call* owner) : call(owner) {}
    std::mutex mutex;
    Call* call;  // Null: it has an answer, or needs none.
  };

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no request"));
    const std::string& path = call_->method();  // "/service/method"
    const size_t slash = path.rfind('/');
    const auto metadata = call_->client_metadata().find(kNamespaceHeader);
    const std::string name = metadata == call_->client_metadata().end()
                                 ? ""
                                 : std::string(metadata->second.data(), metadata->second.size());
    client_.Call(ttrpc::MakeRequest(path.substr(1, slash - 1), path.substr(slash + 1),
                                    BytesOf(request_), name),
                 DeadlineOf(*call_), [link = link_](const ttrpc::Response& response) {
                   const std::scoped_lock lock(link->mutex);
                   if (Call* const call = std::exchange(link->call, nullptr))
                     call->Answer(response);
                 });
  }
  void Answer(const ttrpc::Response& response) {
    if (!response.ok()) {
      return Finish(grpc::Status(static_cast<grpc::StatusCode>(response.status().code()),
                                 std::string(response.status().message())));
    }
    const grpc::Slice slice(*response);
    response_ = grpc::ByteBuffer(&slice, 1);
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void End(const grpc::Status& status) {
    const auto link = link_;  // We may be gone before the lock is.
    const std::scoped_lock lock(link->mutex);
    if (std::exchange(link->call, nullptr) != nullptr) Finish(status);
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

  ttrpc::Client& client_;
  grpc::GenericCallbackServerContext* const call_;
  grpc::ByteBuffer request_, response_;
  const std::shared_ptr<Link> link_ = std::make_shared<Link>(this);
};

GrpcBridge::GrpcBridge(ttrpc::Client* client, base::UniqueFd listener)
    : client_(client), listener_(std::move(listener)) {
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(this);
  server_ = builder.BuildAndStart();
  ::fcntl(listener_.get(), F_SETFL, 0);  // The acceptor waits in accept.
  acceptor_ = std::thread([this] { Accept(); });
}

void GrpcBridge::Accept() {
  while (true) {
    base::UniqueFd connection(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) return;  // Shut down.
    {
      const std::scoped_lock lock(mutex_);
      connections_.emplace_back(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    }
    grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
  }
}

void GrpcBridge::DropConnections() {
  const std::scoped_lock lock(mutex_);
  for (const base::UniqueFd& connection : connections_) {
    (void)::shutdown(connection.get(), SHUT_RDWR);
  }
  connections_.clear();
}

GrpcBridge::~GrpcBridge() {
  (void)::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  DropConnections();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

grpc::ServerGenericBidiReactor* GrpcBridge::CreateReactor(
    grpc::GenericCallbackServerContext* call) {
  return new Call(*client_, call);
}

}  // namespace ctrd::runtime
