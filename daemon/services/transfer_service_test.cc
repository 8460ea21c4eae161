// SPDX-License-Identifier: Apache-2.0

// The two services through a socket, over stores in memory.
#include "daemon/services/transfer_service.h"

#include <thread>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "daemon/server/serve.h"
#include "daemon/services/streaming_service.h"
#include "google/protobuf/empty.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "images/content/testing/fake_content_store.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "images/transfer/testing/fake_stores.h"
#include "services/streaming/v1/streaming.grpc.pb.h"
#include "services/transfer/v1/transfer.grpc.pb.h"
#include "types/transfer/imagestore.pb.h"
#include "types/transfer/importexport.pb.h"
#include "types/transfer/progress.pb.h"
#include "types/transfer/registry.pb.h"
#include "types/transfer/streaming.pb.h"

namespace ctrd::services {
namespace {

namespace proto = containerd::types::transfer;
namespace streaming_v1 = containerd::services::streaming::v1;
namespace transfer_v1 = containerd::services::transfer::v1;
using base::IsOk;

// A stream as a client has it.
struct ClientStream {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<Any, Any>> rpc;
};

class TransferServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "transfer-test-"));
    ASSERT_OK_AND_ASSIGN(transfer_, transfer::CreateTransfer({&content_, &images_, &leases_}, {}));
    streaming_service_ = MakeStreamingService(&streams_);
    transfer_service_ = MakeTransferService(transfer_.get(), &streams_);
    const std::string address = "unix://" + directory_ + "/socket";
    server_ = grpc::ServerBuilder()
                  .AddListeningPort(address, grpc::InsecureServerCredentials())
                  .RegisterService(streaming_service_.get())
                  .RegisterService(transfer_service_.get())
                  .BuildAndStart();
    ASSERT_NE(server_, nullptr);
    channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }

  void TearDown() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    ASSERT_THAT(base::RemoveTree(directory_), IsOk());
  }

  // Opens a stream and waits until it may be named.
  std::unique_ptr<ClientStream> Open(const std::string& id) {
    auto stream = std::make_unique<ClientStream>();
    stream->context.AddMetadata(server::kNamespaceHeader, "test");
    stream->rpc = streaming_v1::Streaming::NewStub(channel_)->Stream(&stream->context);
    streaming_v1::StreamInit init;
    init.set_id(id);
    Any message;
    EXPECT_TRUE(stream->rpc->Write(PackBare(init)));
    EXPECT_TRUE(stream->rpc->Read(&message));
    EXPECT_EQ(message.type_url(), "google.protobuf.Empty");
    return stream;
  }

  grpc::Status Transfer(const Any& source, const Any& destination,
                        const std::string& progress = "") {
    grpc::ClientContext context;
    context.AddMetadata(server::kNamespaceHeader, "test");
    transfer_v1::TransferRequest request;
    *request.mutable_source() = source;
    *request.mutable_destination() = destination;
    request.mutable_options()->set_progress_stream(progress);
    google::protobuf::Empty response;
    return transfer_v1::Transfer::NewStub(channel_)->Transfer(&context, request, &response);
  }

  static Any Store(const std::string& name) {
    proto::ImageStore store;
    store.set_name(name);
    return PackBare(store);
  }
  static Any Export(const std::string& stream) {
    proto::ImageExportStream end;
    end.set_stream(stream);
    end.set_all_platforms(true);
    return PackBare(end);
  }
  static Any Import(const std::string& stream) {
    proto::ImageImportStream end;
    end.set_stream(stream);
    return PackBare(end);
  }

  // All data that come on the stream, granting credit as a client does.
  static std::string ReadBytes(ClientStream& stream) {
    std::string all;
    proto::WindowUpdate credit;
    credit.set_update(65536);
    stream.rpc->Write(PackBare(credit));
    for (Any message; stream.rpc->Read(&message);) {
      proto::Data data;
      EXPECT_TRUE(UnpackBare(message, data));
      EXPECT_LE(data.data().size(), 32768u);
      all += data.data();
      credit.set_update(static_cast<int32_t>(data.data().size()));
      stream.rpc->Write(PackBare(credit));
    }
    EXPECT_TRUE(stream.rpc->Finish().ok());
    return all;
  }

  images::Descriptor Put(std::string_view media_type, const std::string& data) {
    images::Descriptor out;
    const base::Digest digest = base::Digest::Of(data);
    out.media_type = media_type;
    out.digest = digest.text();
    out.size_bytes = static_cast<int64_t>(data.size());
    EXPECT_THAT(content::WriteBlob(context_, content_, digest.text(), data, digest, {}), IsOk());
    return out;
  }

  void PutImage(const std::string& name) {
    images::Manifest manifest;
    manifest.media_type = images::kOciManifest;
    manifest.config = Put(images::kOciConfig, "{}");
    manifest.layers = {Put(images::kOciLayer, std::string(300000, 'l'))};
    const auto target = Put(images::kOciManifest, images::SerializeManifest(manifest));
    ASSERT_THAT(images_.Create(context_, {.name = name, .target = target}, std::nullopt), IsOk());
  }

  const base::Context context_{"test"};
  std::string directory_;
  content::FakeContentStore content_;
  transfer::FakeImageStore images_;
  transfer::FakeLeaseManager leases_;
  Streams streams_;
  std::unique_ptr<transfer::Transfer> transfer_;
  std::unique_ptr<grpc::Service> streaming_service_;
  std::unique_ptr<grpc::Service> transfer_service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(TransferServiceTest, AStreamBeginsWithItsName) {
  ClientStream stream;
  stream.rpc = streaming_v1::Streaming::NewStub(channel_)->Stream(&stream.context);
  stream.rpc->Write(PackBare(google::protobuf::Empty()));
  Any message;
  EXPECT_FALSE(stream.rpc->Read(&message));
  const grpc::Status status = stream.rpc->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(),
            "can't unmarshal type \"google.protobuf.Empty\" to output "
            "\"containerd.services.streaming.v1.StreamInit\"");
}

TEST_F(TransferServiceTest, AStreamsNameIsTakenOnce) {
  const auto first = Open("x");
  ClientStream second;
  second.context.AddMetadata(server::kNamespaceHeader, "test");
  second.rpc = streaming_v1::Streaming::NewStub(channel_)->Stream(&second.context);
  streaming_v1::StreamInit init;
  init.set_id("x");
  second.rpc->Write(PackBare(init));
  Any message;
  EXPECT_FALSE(second.rpc->Read(&message));
  const grpc::Status status = second.rpc->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "already exists");
  first->context.TryCancel();
  EXPECT_FALSE(first->rpc->Read(&message));
  (void)first->rpc->Finish();
}

TEST_F(TransferServiceTest, ErrorsOfTheCallItself) {
  grpc::Status status = Transfer(Store("a"), Store("b"), "nosuch");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "not found");
  Any unknown;
  unknown.set_type_url("what.is.This");
  status = Transfer(unknown, Store("b"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "type with url what.is.This: not found");
  status = Transfer(PackBare(proto::OCIRegistry()), PackBare(proto::OCIRegistry()));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(),
            "method Transfer not implemented for containerd.types.transfer.OCIRegistry to "
            "containerd.types.transfer.OCIRegistry");
  status = Transfer(Store("a"), Store("b"));
  EXPECT_EQ(status.error_message(), "image \"a\": not found");
}

TEST_F(TransferServiceTest, AnExportIsImportedAgain) {
  PutImage("docker.io/library/a:1");
  const auto out = Open("export");
  const auto progress = Open("progress");
  std::string archive;
  std::thread reading([&] { archive = ReadBytes(*out); });
  const grpc::Status exported =
      Transfer(Store("docker.io/library/a:1"), Export("export"), "progress");
  reading.join();
  ASSERT_TRUE(exported.ok()) << exported.error_message();
  std::vector<std::string> events;
  for (Any message; progress->rpc->Read(&message);) {
    proto::Progress event;
    ASSERT_TRUE(UnpackBare(message, event));
    events.push_back(event.event());
  }
  EXPECT_TRUE(progress->rpc->Finish().ok());
  EXPECT_EQ(events, (std::vector<std::string>{"Exporting", "Completed export"}));

  ASSERT_THAT(images_.Delete(context_, "docker.io/library/a:1", std::nullopt), IsOk());
  const auto in = Open("import");
  std::thread writing([&] {
    int64_t credit = 0;
    for (size_t at = 0; at < archive.size();) {
      Any message;
      while (credit <= 0 && in->rpc->Read(&message)) {
        proto::WindowUpdate update;
        if (UnpackBare(message, update)) credit += update.update();
      }
      proto::Data data;
      data.set_data(archive.substr(at, 32768));
      if (!in->rpc->Write(PackBare(data))) break;
      at += data.data().size();
      credit -= static_cast<int64_t>(data.data().size());
    }
    in->rpc->WritesDone();
  });
  proto::ImageStore store;
  auto* reference = store.add_extra_references();
  reference->set_name("import-1");
  reference->set_is_prefix(true);
  reference->set_allow_overwrite(true);
  const grpc::Status imported = Transfer(Import("import"), PackBare(store));
  writing.join();
  EXPECT_TRUE(imported.ok()) << imported.error_message();
  EXPECT_THAT(images_.Get(context_, "docker.io/library/a:1"), IsOk());
  in->context.TryCancel();
  (void)in->rpc->Finish();
}

TEST_F(TransferServiceTest, ACancelledCallEndsItsWork) {
  const auto in = Open("import");  // Never sends anything.
  grpc::ClientContext context;
  context.AddMetadata(server::kNamespaceHeader, "test");
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  transfer_v1::TransferRequest request;
  *request.mutable_source() = Import("import");
  *request.mutable_destination() = Store("x");
  google::protobuf::Empty response;
  const grpc::Status status =
      transfer_v1::Transfer::NewStub(channel_)->Transfer(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // The stream ends with the operation.
  for (Any message; in->rpc->Read(&message);) continue;
  EXPECT_TRUE(in->rpc->Finish().ok());
}

}  // namespace
}  // namespace ctrd::services
