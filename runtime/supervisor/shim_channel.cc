// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_channel.h"

#include <future>
#include <utility>

#include "base/status.h"
#include "runtime/supervisor/shim_address.h"

namespace ctrd::runtime {

absl::StatusOr<std::unique_ptr<ShimChannel>> ShimChannel::Connect(base::EventLoop* loop,
                                                                  const ShimEndpoint& endpoint,
                                                                  absl::Time deadline) {
  ASSIGN_OR_RETURN(base::UniqueFd connection, DialShim(endpoint.address, deadline));
  return endpoint.protocol == "grpc" ? AdoptGrpc(loop, std::move(connection))
                                     : AdoptTtrpc(loop, std::move(connection));
}

absl::StatusOr<std::string> ShimChannel::CallAndWait(ShimCall call, absl::Time deadline) {
  const auto answer = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  Call(std::move(call), deadline,
       [answer](absl::StatusOr<std::string> result) { answer->set_value(std::move(result)); });
  return answer->get_future().get();
}

}  // namespace ctrd::runtime
