// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_client.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/time/clock.h"

namespace ctrd::runtime {
namespace {

// How often a waiting call looks whether its caller still waits.
constexpr absl::Duration kCancelCheckInterval = absl::Milliseconds(250);

struct Waiting {
  std::mutex mutex;
  std::condition_variable condition;
  std::optional<absl::StatusOr<std::string>> answer;
};

}  // namespace

absl::StatusOr<std::shared_ptr<ShimClient>> ShimClient::Connect(base::EventLoop* loop,
                                                                const ShimEndpoint& endpoint,
                                                                std::string namespace_name,
                                                                absl::Time deadline) {
  const bool over_ttrpc = endpoint.protocol == "ttrpc";
  if (endpoint.version != 3 && !(endpoint.version == 2 && over_ttrpc)) {
    return base::Unknown("containerd client supports only v2 and v3 TTRPC task client (got {})",
                         endpoint.version);
  }
  ASSIGN_OR_RETURN(auto channel, ShimChannel::Connect(loop, endpoint, deadline));
  return std::shared_ptr<ShimClient>(
      new ShimClient(std::move(channel), std::move(namespace_name), endpoint.version, over_ttrpc));
}

ShimCall ShimClient::MakeCall(std::string_view method, std::string payload, int version) const {
  return {.service = version == 2 ? "containerd.task.v2.Task" : "containerd.task.v3.Task",
          .method = std::string(method),
          .payload = std::move(payload),
          .namespace_name = namespace_};
}

void ShimClient::Call(std::string_view method, std::string request, absl::Time deadline,
                      Done done) {
  const int version = version_.load();
  if (version == 2 || version_known_.load()) {
    channel_->Call(MakeCall(method, std::move(request), version), deadline, std::move(done));
    return;
  }
  auto again = MakeCall(method, request, 2);
  // Weak: what waits inside the client must not keep the client.
  channel_->Call(MakeCall(method, std::move(request), version), deadline,
                 [self = weak_from_this(), again = std::move(again), deadline,
                  done = std::move(done)](absl::StatusOr<std::string> answer) mutable {
                   const auto client = self.lock();
                   if (client == nullptr) return done(std::move(answer));
                   if (!absl::IsUnimplemented(answer.status())) {
                     const bool answered = !ttrpc::IsClosedError(answer.status()) &&
                                           !absl::IsDeadlineExceeded(answer.status());
                     if (answered) client->version_known_.store(true);
                     return done(std::move(answer));
                   }
                   client->version_.store(2);
                   client->channel_->Call(std::move(again), deadline, std::move(done));
                 });
}

absl::StatusOr<std::string> ShimClient::CallAndWait(const base::Context& context,
                                                    std::string_view method, std::string request) {
  RETURN_IF_ERROR(context.Check());
  const auto waiting = std::make_shared<Waiting>();
  Call(method, std::move(request), context.deadline(),
       [waiting](absl::StatusOr<std::string> answer) {
         const std::scoped_lock lock(waiting->mutex);
         waiting->answer = std::move(answer);
         waiting->condition.notify_one();
       });
  std::unique_lock lock(waiting->mutex);
  while (!waiting->answer) {
    const auto until = absl::ToChronoTime(absl::Now() + kCancelCheckInterval);
    waiting->condition.wait_until(lock, until);
    if (waiting->answer) break;
    RETURN_IF_ERROR(context.Check());
  }
  return *std::move(waiting->answer);
}

}  // namespace ctrd::runtime
