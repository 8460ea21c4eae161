// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/content_service.h"

#include <memory>
#include <string>

#include "base/digest.h"
#include "daemon/server/serve.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "images/content/testing/fake_content_store.h"
#include "services/content/v1/content.grpc.pb.h"

namespace ctrd::services {
namespace {
namespace api = containerd::services::content::v1;

class ContentServiceTest : public testing::Test {
 protected:
  ContentServiceTest() : service_(MakeContentService(&store_)) {
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = api::Content::NewStub(server_->InProcessChannel({}));
  }

  using Stream = grpc::ClientReaderWriter<api::WriteContentRequest, api::WriteContentResponse>;
  std::unique_ptr<Stream> Open() {
    context_ = std::make_unique<grpc::ClientContext>();
    context_->AddMetadata(server::kNamespaceHeader, "default");
    return stub_->Write(context_.get());
  }
  static api::WriteContentRequest Message(api::WriteAction action, int64_t offset,
                                          const std::string& data) {
    api::WriteContentRequest request;
    request.set_ref("ref");
    request.set_action(action);
    request.set_offset(offset);
    request.set_data(data);
    return request;
  }

  content::FakeContentStore store_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<api::Content::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
};

TEST_F(ContentServiceTest, WritesStatsAndCommitsOnOneStream) {
  const std::unique_ptr<Stream> stream = Open();
  api::WriteContentResponse response;
  api::WriteContentRequest stat = Message(api::STAT, 0, "");
  stat.set_total(11);
  ASSERT_TRUE(stream->Write(stat));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.offset(), 0);
  EXPECT_EQ(response.total(), 11);
  EXPECT_EQ(response.digest(), base::Digest::Of("").text());
  ASSERT_TRUE(stream->Write(Message(api::WRITE, 0, "hello ")));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.offset(), 6);
  ASSERT_TRUE(stream->Write(Message(api::COMMIT, 6, "world")));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.offset(), 11);
  EXPECT_EQ(response.digest(), base::Digest::Of("hello world").text());
  EXPECT_FALSE(stream->Read(&response)) << "the server ends the stream after a commit";
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ContentServiceTest, RefusesAnOffsetThatIsNotTheCurrentOne) {
  const std::unique_ptr<Stream> stream = Open();
  api::WriteContentResponse response;
  ASSERT_TRUE(stream->Write(Message(api::WRITE, 5, "x")));
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(status.error_message(), "write @5 must occur at current offset 0: out of range");
}

TEST_F(ContentServiceTest, StartsOverAtOffsetZero) {
  const std::unique_ptr<Stream> stream = Open();
  api::WriteContentResponse response;
  ASSERT_TRUE(stream->Write(Message(api::WRITE, 0, "wrong")));
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_TRUE(stream->Write(Message(api::WRITE, 0, "right")));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.offset(), 5);
  EXPECT_EQ(response.digest(), base::Digest::Of("right").text());
}

TEST_F(ContentServiceTest, RefusesAMissingReferenceAndADigestThatIsNone) {
  api::WriteContentResponse response;
  std::unique_ptr<Stream> stream = Open();
  api::WriteContentRequest request = Message(api::STAT, 0, "");
  request.clear_ref();
  ASSERT_TRUE(stream->Write(request));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_message(),
            "first message must have a reference: invalid argument");
  stream = Open();
  request = Message(api::COMMIT, 0, "data");
  request.set_expected("garbage");
  ASSERT_TRUE(stream->Write(request));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ContentServiceTest, ReadsFromAnOffsetAndCountsOffsetsFromThere) {
  const base::Context context("default");
  const base::Digest digest = base::Digest::Of("0123456789");
  ASSERT_TRUE(content::WriteBlob(context, store_, "r", "0123456789", digest, {}).ok());
  grpc::ClientContext rpc;
  rpc.AddMetadata(server::kNamespaceHeader, "default");
  api::ReadContentRequest request;
  request.set_digest(digest.text());
  request.set_offset(4);
  request.set_size(3);
  const auto reader = stub_->Read(&rpc, request);
  api::ReadContentResponse chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(chunk.offset(), 0);
  EXPECT_EQ(chunk.data(), "456");
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(ContentServiceTest, RefusesToReadPastTheEnd) {
  const base::Context context("default");
  const base::Digest digest = base::Digest::Of("abc");
  ASSERT_TRUE(content::WriteBlob(context, store_, "r", "abc", digest, {}).ok());
  for (const auto& [offset, code] :
       {std::pair{3, grpc::StatusCode::OK}, std::pair{4, grpc::StatusCode::OUT_OF_RANGE}}) {
    grpc::ClientContext rpc;
    rpc.AddMetadata(server::kNamespaceHeader, "default");
    api::ReadContentRequest request;
    request.set_digest(digest.text());
    request.set_offset(offset);
    const auto reader = stub_->Read(&rpc, request);
    api::ReadContentResponse chunk;
    EXPECT_FALSE(reader->Read(&chunk));
    EXPECT_EQ(reader->Finish().error_code(), code) << offset;
  }
}

}  // namespace
}  // namespace ctrd::services
