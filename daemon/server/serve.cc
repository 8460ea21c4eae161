// SPDX-License-Identifier: Apache-2.0
#include "daemon/server/serve.h"

#include <memory>
#include <mutex>
#include <string>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"

namespace ctrd::server {
namespace {

std::string FirstHeader(const grpc::ServerContextBase& rpc, const char* name) {
  // Equal keys of the map stand in the order they came in.
  const auto& headers = rpc.client_metadata();
  const auto it = headers.lower_bound(name);
  if (it == headers.end() || it->first != name) return "";
  return std::string(it->second.data(), it->second.size());
}

// The call as the copies of its context see it, which may outlive it.
class OpenCall {
 public:
  explicit OpenCall(const grpc::ServerContextBase* rpc) : rpc_(rpc) {}
  bool cancelled() const {
    const std::scoped_lock lock(mutex_);
    return rpc_ != nullptr && rpc_->IsCancelled();
  }
  void End() {
    const std::scoped_lock lock(mutex_);
    rpc_ = nullptr;
  }

 private:
  mutable std::mutex mutex_;
  const grpc::ServerContextBase* rpc_;
};

}  // namespace

base::Context ContextOf(const grpc::ServerContextBase& rpc) {
  base::Context context =
      base::Context(FirstHeader(rpc, kNamespaceHeader)).WithLease(FirstHeader(rpc, kLeaseHeader));
  const auto deadline = rpc.deadline();
  if (deadline != std::chrono::system_clock::time_point::max()) {
    context = context.WithDeadline(absl::FromChrono(deadline));
  }
  return context;
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), base::MessageOf(status));
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      base::ToAbsl(status.error_message()));
}

grpc::Status Serve(grpc::ServerContextBase* rpc, std::string_view method,
                   const std::function<absl::Status(const base::Context&)>& fn) {
  const auto open_call = std::make_shared<OpenCall>(rpc);
  const base::Context context =
      ContextOf(*rpc).WithCancelProbe([open_call] { return open_call->cancelled(); });
  const absl::Status status = fn(context);
  open_call->End();
  if (!status.ok()) {
    base::LogDebug("call failed", {{"method", method},
                                   {"namespace", context.namespace_name()},
                                   {"code", static_cast<int>(status.code())},
                                   {"error", status}});
  }
  return ToGrpc(status);
}

}  // namespace ctrd::server
