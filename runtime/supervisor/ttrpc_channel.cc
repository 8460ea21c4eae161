// SPDX-License-Identifier: Apache-2.0

// Shims that speak ttrpc: all but a few.
#include <utility>

#include "runtime/supervisor/shim_channel.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime {
namespace {

class TtrpcChannel final : public ShimChannel {
 public:
  explicit TtrpcChannel(std::unique_ptr<ttrpc::Client> client) : client_(std::move(client)) {}

  void Call(ShimCall call, absl::Time deadline, Done done) override {
    client_->Call(
        ttrpc::MakeRequest(call.service, call.method, std::move(call.payload), call.namespace_name),
        deadline, std::move(done));
  }
  void OnClose(std::function<void()> callback) override { client_->OnClose(std::move(callback)); }
  void Close() override { client_->Close(); }
  bool closed() const override { return client_->closed(); }

 private:
  const std::unique_ptr<ttrpc::Client> client_;
};

}  // namespace

std::unique_ptr<ShimChannel> AdoptTtrpc(base::EventLoop* loop, base::UniqueFd connection) {
  return std::make_unique<TtrpcChannel>(ttrpc::Client::Adopt(loop, std::move(connection)));
}

}  // namespace ctrd::runtime
