// SPDX-License-Identifier: Apache-2.0

// GrpcMetrics counts the calls of the gRPC socket: an interceptor that is there only while metrics
// are on. Every method of the services is told from the start, with 0 for all that did not happen
// yet. Thread-safe. Source document: docs/operations/metrics.md.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metric.h"
#include "grpcpp/support/server_interceptor.h"

namespace ctrd::server {

class GrpcMetrics final : public base::MetricSource {
 public:
  // `services` are full names ("containerd.services.tasks.v1.Tasks"); those that this program does
  // not know are left out. `histogram`: tell how long calls took as well.
  GrpcMetrics(const std::vector<std::string>& services, bool histogram);
  ~GrpcMetrics() override;

  // What counts, for a server that ends before this object.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeInterceptors();
  void Report(base::MetricSink& sink) const override;

 private:
  struct Method;
  class Interceptors;
  class Call;

  const bool histogram_;
  std::map<std::string, std::unique_ptr<Method>, std::less<>> methods_;  // "/<service>/<method>"
};

}  // namespace ctrd::server
