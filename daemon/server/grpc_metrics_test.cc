// SPDX-License-Identifier: Apache-2.0
#include "daemon/server/grpc_metrics.h"

#include <unistd.h>

#include <string>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "daemon/server/grpc_endpoint.h"
#include "daemon/services/health_service.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"

namespace ctrd::server {
namespace {

constexpr char kHealth[] = "grpc.health.v1.Health";

// What was told, by name, method and code.
class Told final : public base::MetricSink {
 public:
  void Add(base::MetricKind, std::string_view name, std::string_view, base::MetricLabels labels,
           double value) override {
    std::string key(name);
    for (const auto& [label, text] : labels) {
      if (label != "grpc_service") key += " " + text;
    }
    values[key] = value;
  }
  void AddTimer(std::string_view name, std::string_view, base::MetricLabels labels,
                const base::Timer::Snapshot& timer) override {
    double count = 0;
    for (const uint64_t bucket : timer.buckets) count += static_cast<double>(bucket);
    values[std::string(name) + " " + labels[0].second] = count;
  }
  std::map<std::string, double> values;
};

class GrpcMetricsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "ctrd-metrics-"));
    GrpcOptions options;
    options.socket = {.path = directory_ + "/s", .uid = ::geteuid(), .gid = ::getegid()};
    options.metrics = &metrics_;
    ASSERT_OK_AND_ASSIGN(endpoint_, GrpcEndpoint::Start(options, {health_.get()}));
    stub_ = grpc::health::v1::Health::NewStub(
        grpc::CreateChannel("unix:" + options.socket.path, grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    endpoint_.reset();
    EXPECT_THAT(base::RemoveTree(directory_), base::IsOk());
  }
  grpc::Status Check(const std::string& service) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    return stub_->Check(&context, request, &response);
  }
  std::map<std::string, double> Values() const {
    Told told;
    metrics_.Report(told);
    return told.values;
  }

  std::string directory_;
  std::unique_ptr<grpc::Service> health_ = services::MakeHealthService();
  GrpcMetrics metrics_{{kHealth, "no.such.Service"}, /*histogram=*/true};
  std::unique_ptr<GrpcEndpoint> endpoint_;
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
};

TEST_F(GrpcMetricsTest, TellsEveryMethodBeforeItsFirstCall) {
  const auto values = Values();
  EXPECT_EQ(values.at("grpc_server_started_total Check unary"), 0);
  EXPECT_EQ(values.at("grpc_server_started_total Watch server_stream"), 0);
  EXPECT_EQ(values.at("grpc_server_handled_total Check unary Unauthenticated"), 0);
  EXPECT_EQ(values.at("grpc_server_handling_seconds Check"), 0);
}

TEST_F(GrpcMetricsTest, CountsCallsByTheirStatus) {
  EXPECT_TRUE(Check("").ok());
  EXPECT_TRUE(Check("").ok());
  EXPECT_FALSE(Check("nobody").ok());
  endpoint_.reset();  // All calls have ended, on the server's side too.
  const auto values = Values();
  EXPECT_EQ(values.at("grpc_server_started_total Check unary"), 3);
  EXPECT_EQ(values.at("grpc_server_msg_received_total Check unary"), 3);
  EXPECT_EQ(values.at("grpc_server_msg_sent_total Check unary"), 2);
  EXPECT_EQ(values.at("grpc_server_handled_total Check unary OK"), 2);
  EXPECT_EQ(values.at("grpc_server_handled_total Check unary NotFound"), 1);
  EXPECT_EQ(values.at("grpc_server_handling_seconds Check"), 3);
}

TEST_F(GrpcMetricsTest, CountsStreamsThatTheClientLeaves) {
  {
    grpc::ClientContext context;
    const auto stream = stub_->Watch(&context, {});
    grpc::health::v1::HealthCheckResponse response;
    ASSERT_TRUE(stream->Read(&response));
    context.TryCancel();
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  endpoint_.reset();
  const auto values = Values();
  EXPECT_EQ(values.at("grpc_server_started_total Watch server_stream"), 1);
  EXPECT_EQ(values.at("grpc_server_msg_sent_total Watch server_stream"), 1);
  EXPECT_EQ(values.at("grpc_server_handled_total Watch server_stream Canceled"), 1);
}

}  // namespace
}  // namespace ctrd::server
