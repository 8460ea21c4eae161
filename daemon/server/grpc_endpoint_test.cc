// SPDX-License-Identifier: Apache-2.0
#include "daemon/server/grpc_endpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "daemon/services/health_service.h"
#include "daemon/services/introspection_service.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "services/version/v1/version.grpc.pb.h"

namespace ctrd::server {
namespace {

class GrpcEndpointTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "ctrd-endpoint-"));
    options_.socket = {.path = directory_ + "/run/c.sock", .uid = ::geteuid(), .gid = ::getegid()};
  }
  void TearDown() override { ASSERT_THAT(base::RemoveTree(directory_), base::IsOk()); }

  std::string directory_;
  GrpcOptions options_;
  std::unique_ptr<grpc::Service> health_ = services::MakeHealthService();
  std::unique_ptr<grpc::Service> version_ = services::MakeVersionService();
};

TEST_F(GrpcEndpointTest, ServesOnASocketOfTheRightModeAndTakesItAlong) {
  {
    ASSERT_OK_AND_ASSIGN(const auto endpoint,
                         GrpcEndpoint::Start(options_, {health_.get(), version_.get()}));
    struct stat socket {};
    ASSERT_EQ(::stat(options_.socket.path.c_str(), &socket), 0);
    EXPECT_EQ(socket.st_mode & 07777, 0660u);
    const auto channel =
        grpc::CreateChannel("unix:" + options_.socket.path, grpc::InsecureChannelCredentials());
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckResponse response;
    ASSERT_TRUE(grpc::health::v1::Health::NewStub(channel)->Check(&context, {}, &response).ok());
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
    grpc::ClientContext list_context;
    grpc::health::v1::HealthListResponse list;
    ASSERT_TRUE(grpc::health::v1::Health::NewStub(channel)->List(&list_context, {}, &list).ok());
    EXPECT_EQ(list.statuses().at("").status(), grpc::health::v1::HealthCheckResponse::SERVING);
    ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(directory_ + "/run"));
    EXPECT_THAT(names, testing::ElementsAre("c.sock"));
  }
  EXPECT_FALSE(base::Exists(options_.socket.path));
}

TEST_F(GrpcEndpointTest, TakesTheSocketAPredecessorLeft) {
  ASSERT_THAT(base::MakeDirectories(directory_ + "/run", 0755), base::IsOk());
  ASSERT_THAT(base::WriteFileAtomically(options_.socket.path, "", 0600), base::IsOk());
  EXPECT_THAT(GrpcEndpoint::Start(options_, {health_.get()}), base::IsOk());
}

TEST_F(GrpcEndpointTest, RefusesAPathNoSocketCanHave) {
  options_.socket.path = directory_ + "/" + std::string(100, 'x');
  EXPECT_THAT(GrpcEndpoint::Start(options_, {health_.get()}),
              base::StatusIs(absl::StatusCode::kInvalidArgument,
                             testing::EndsWith("unix socket path too long (> 104)")));
}

TEST_F(GrpcEndpointTest, AnswersUnimplementedForMethodsNobodyServes) {
  ASSERT_OK_AND_ASSIGN(const auto endpoint, GrpcEndpoint::Start(options_, {health_.get()}));
  const auto channel =
      grpc::CreateChannel("unix:" + options_.socket.path, grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  containerd::services::version::v1::VersionResponse response;
  EXPECT_EQ(containerd::services::version::v1::Version::NewStub(channel)
                ->Version(&context, {}, &response)
                .error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace ctrd::server
