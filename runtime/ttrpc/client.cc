// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/client.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "runtime/ttrpc/client_core.h"
#include "runtime/ttrpc/unix_address.h"

namespace ctrd::runtime::ttrpc {

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

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(base::EventLoop* loop,
                                                        const std::string& address,
                                                        absl::Time deadline) {
  ASSIGN_OR_RETURN(const UnixAddress peer, ParseUnixAddress(address));
  ASSIGN_OR_RETURN(base::UniqueFd fd, ConnectUnix(peer, address, deadline));
  return Adopt(loop, std::move(fd));
}

std::unique_ptr<Client> Client::Adopt(base::EventLoop* loop, base::UniqueFd connection) {
  auto core = std::make_shared<ClientCore>(loop, std::move(connection));
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
  const uint32_t stream = core_->Send(std::move(request), deadline, {.done = std::move(done)});
  if (stream != 0 && deadline != absl::InfiniteFuture()) core_->Arm(stream, deadline);
}

Response Client::CallAndWait(Request request, absl::Time deadline) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable condition;
    std::optional<Response> response;
  };
  const auto waiting = std::make_shared<Waiting>();
  const auto answer = [waiting](Response response) {
    const std::lock_guard lock(waiting->mutex);
    waiting->response = std::move(response);
    waiting->condition.notify_one();
  };
  const uint32_t stream = core_->Send(std::move(request), deadline, {.done = answer});
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
