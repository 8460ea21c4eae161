// SPDX-License-Identifier: Apache-2.0
#include "daemon/server/grpc_metrics.h"

#include <algorithm>
#include <array>

#include "absl/time/clock.h"
#include "google/protobuf/descriptor.h"

namespace ctrd::server {
namespace {

using grpc::experimental::InterceptionHookPoints;

// In the order of the numbers of the codes.
constexpr std::array<const char*, 17> kCodes = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

const char* TypeOf(const google::protobuf::MethodDescriptor& method) {
  if (method.client_streaming()) return method.server_streaming() ? "bidi_stream" : "client_stream";
  return method.server_streaming() ? "server_stream" : "unary";
}

}  // namespace

struct GrpcMetrics::Method {
  base::MetricLabels labels;
  base::Counter started, received, sent;
  std::array<base::Counter, kCodes.size()> handled;
  base::Timer handling;
};

class GrpcMetrics::Call final : public grpc::experimental::Interceptor {
 public:
  explicit Call(Method& method) : method_(method) { method_.started.Add(); }

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE) &&
        batch->GetRecvMessage() != nullptr) {  // Null at the end of a stream.
      method_.received.Add();
    }
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      method_.sent.Add();
    }
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const auto code = static_cast<size_t>(batch->GetSendStatus().error_code());
      method_.handled[std::min(code, kCodes.size() - 1)].Add();
      method_.handling.Observe(absl::Now() - start_);
    }
    batch->Proceed();
  }

 private:
  Method& method_;
  const absl::Time start_ = absl::Now();
};

class GrpcMetrics::Interceptors final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Interceptors(GrpcMetrics& metrics) : metrics_(metrics) {}
  // Owned by gRPC; null for what is not counted.
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    const auto method = metrics_.methods_.find(std::string_view(info->method()));
    return method == metrics_.methods_.end() ? nullptr : new Call(*method->second);
  }

 private:
  GrpcMetrics& metrics_;
};

GrpcMetrics::GrpcMetrics(const std::vector<std::string>& services, bool histogram)
    : histogram_(histogram) {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const std::string& name : services) {
    const auto* service = pool->FindServiceByName(name);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      const auto& descriptor = *service->method(i);
      auto method = std::make_unique<Method>();
      method->labels = {{"grpc_method", descriptor.name()},
                        {"grpc_service", name},
                        {"grpc_type", TypeOf(descriptor)}};
      methods_["/" + name + "/" + descriptor.name()] = std::move(method);
    }
  }
}

GrpcMetrics::~GrpcMetrics() = default;

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
GrpcMetrics::MakeInterceptors() {
  return std::make_unique<Interceptors>(*this);
}

void GrpcMetrics::Report(base::MetricSink& sink) const {
  for (const auto& [name, method] : methods_) {
    sink.AddCounter("grpc_server_started_total", "Calls that began.", method->started.value(),
                    method->labels);
    sink.AddCounter("grpc_server_msg_received_total", "Messages that came from clients.",
                    method->received.value(), method->labels);
    sink.AddCounter("grpc_server_msg_sent_total", "Messages that went to clients.",
                    method->sent.value(), method->labels);
    for (size_t code = 0; code < kCodes.size(); ++code) {
      base::MetricLabels labels = method->labels;
      labels.emplace_back("grpc_code", kCodes[code]);
      sink.AddCounter("grpc_server_handled_total", "Calls that ended, by their status.",
                      method->handled[code].value(), std::move(labels));
    }
    if (histogram_) {
      sink.AddTimer("grpc_server_handling_seconds", "How long calls took.", method->labels,
                    method->handling.snapshot());
    }
  }
}

}  // namespace ctrd::server
