// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/health_service.h"

#include <atomic>

#include "grpc/health/v1/health.grpc.pb.h"

namespace ctrd::services {
namespace api = grpc::health::v1;

namespace {

// Tells the state once and stays open: it does not change while the daemon runs.
class WatchReactor final : public grpc::ServerWriteReactor<api::HealthCheckResponse> {
 public:
  explicit WatchReactor(bool known) {
    response_.set_status(known ? api::HealthCheckResponse::SERVING
                               : api::HealthCheckResponse::SERVICE_UNKNOWN);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) FinishOnce();
  }
  void OnCancel() override { FinishOnce(); }
  void OnDone() override { delete this; }

 private:
  void FinishOnce() {
    if (!finished_.exchange(true)) Finish(grpc::Status::CANCELLED);
  }

  std::atomic<bool> finished_ = false;
  api::HealthCheckResponse response_;
};

class HealthService final : public api::Health::WithCallbackMethod_Watch<api::Health::Service> {
 public:
  grpc::Status Check(grpc::ServerContext*, const api::HealthCheckRequest* request,
                     api::HealthCheckResponse* response) override {
    if (!request->service().empty()) {
      return grpc::Status(grpc::StatusCode::NOT_FOUND, "unknown service");
    }
    response->set_status(api::HealthCheckResponse::SERVING);
    return grpc::Status::OK;
  }

  grpc::Status List(grpc::ServerContext*, const api::HealthListRequest*,
                    api::HealthListResponse* response) override {
    (*response->mutable_statuses())[""].set_status(api::HealthCheckResponse::SERVING);
    return grpc::Status::OK;
  }

  grpc::ServerWriteReactor<api::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext*, const api::HealthCheckRequest* request) override {
    return new WatchReactor(request->service().empty());
  }
};

}  // namespace

std::unique_ptr<grpc::Service> MakeHealthService() { return std::make_unique<HealthService>(); }

}  // namespace ctrd::services
