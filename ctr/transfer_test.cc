// SPDX-License-Identifier: Apache-2.0
// The commands that move images, against a daemon that keeps the rules of the streams and moves
// nothing else.
#include "ctr/transfer.h"

#include <gmock/gmock.h>
#include <google/protobuf/empty.pb.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "ctr/commands.h"
#include "services/leases/v1/leases.grpc.pb.h"
#include "services/transfer/v1/transfer.grpc.pb.h"
#include "types/transfer/imagestore.pb.h"
#include "types/transfer/importexport.pb.h"
#include "types/transfer/registry.pb.h"
#include "types/transfer/streaming.pb.h"

namespace ctrd::ctr {
namespace {

namespace leases = containerd::services::leases::v1;
namespace streaming = containerd::services::streaming::v1;
namespace transfer = containerd::services::transfer::v1;
namespace types = containerd::types::transfer;
using google::protobuf::Any;
using testing::HasSubstr;
using ServerStream = grpc::ServerReaderWriter<Any, Any>;

constexpr int32_t kGrant = 65536;

class FakeLeases final : public leases::Leases::Service {
  grpc::Status Create(grpc::ServerContext*, const leases::CreateRequest* request,
                      leases::CreateResponse* response) override {
    response->mutable_lease()->set_id(request->id());
    return grpc::Status::OK;
  }
  grpc::Status Delete(grpc::ServerContext*, const leases::DeleteRequest*,
                      google::protobuf::Empty*) override {
    return grpc::Status::OK;
  }
};

// Streams by name; a call ends when its stream is released.
class FakeStreaming final : public streaming::Streaming::Service {
 public:
  ServerStream* Find(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second;
  }
  void Release(const std::string& id) {
    const std::lock_guard lock(mutex_);
    streams_.erase(id);
    changed_.notify_all();
  }

 private:
  grpc::Status Stream(grpc::ServerContext*, ServerStream* stream) override {
    Any first;
    streaming::StreamInit init;
    if (!stream->Read(&first) || first.type_url() != init.GetTypeName() ||
        !init.ParseFromString(first.value())) {
      return {grpc::StatusCode::UNKNOWN, "can't unmarshal type"};
    }
    std::unique_lock lock(mutex_);
    streams_[init.id()] = stream;
    stream->Write(PackBare(google::protobuf::Empty()));
    changed_.wait(lock, [&] { return !streams_.contains(init.id()); });
    return grpc::Status::OK;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, ServerStream*> streams_;
};

class FakeTransfer final : public transfer::Transfer::Service {
 public:
  explicit FakeTransfer(FakeStreaming& streams) : streams_(streams) {}

  transfer::TransferRequest last;   // What was asked.
  std::string received;             // What an import sent.
  std::string to_send;              // What an export gets.
  types::AuthResponse credentials;  // What a pull was answered.
  int64_t over_credit = 0;          // Bytes that came without a grant.

 private:
  grpc::Status Transfer(grpc::ServerContext* context, const transfer::TransferRequest* request,
                        google::protobuf::Empty*) override {
    last = *request;
    if (context->client_metadata().count("containerd-lease") == 0) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "no lease"};
    }
    Show("Working", "");
    types::ImageImportStream import;
    types::ImageExportStream to_archive;
    types::OCIRegistry registry;
    if (request->source().type_url() == import.GetTypeName()) {
      import.ParseFromString(request->source().value());
      Receive(import.stream());
    } else if (request->destination().type_url() == to_archive.GetTypeName()) {
      to_archive.ParseFromString(request->destination().value());
      Send(to_archive.stream());
    } else if (request->source().type_url() == registry.GetTypeName()) {
      registry.ParseFromString(request->source().value());
      Ask(registry.resolver().auth_stream());
    }
    Show("saved", "local.test/image:1");
    Show("Completed", "");
    streams_.Release(request->options().progress_stream());
    return grpc::Status::OK;
  }

  void Show(const std::string& event, const std::string& name) {
    ServerStream* stream = streams_.Find(last.options().progress_stream());
    if (stream == nullptr) return;
    types::Progress progress;
    progress.set_event(event);
    progress.set_name(name);
    stream->Write(PackBare(progress));
  }

  void Receive(const std::string& id) {
    ServerStream* stream = streams_.Find(id);
    ASSERT_NE(stream, nullptr);
    int64_t credit = 0;
    while (true) {
      if (credit < kGrant) {
        types::WindowUpdate update;
        update.set_update(kGrant);
        stream->Write(PackBare(update));
        credit += kGrant;
      }
      Any any;
      types::Data data;
      if (!stream->Read(&any)) break;
      ASSERT_EQ(any.type_url(), data.GetTypeName());
      data.ParseFromString(any.value());
      credit -= static_cast<int64_t>(data.data().size());
      over_credit += std::max<int64_t>(0, -credit);
      received += data.data();
    }
    streams_.Release(id);
  }

  void Send(const std::string& id) {
    ServerStream* stream = streams_.Find(id);
    ASSERT_NE(stream, nullptr);
    int64_t credit = 0;
    for (size_t sent = 0; sent < to_send.size();) {
      Any any;
      while (credit <= 0 && stream->Read(&any)) {
        types::WindowUpdate update;
        update.ParseFromString(any.value());
        credit += update.update();
      }
      types::Data data;
      data.set_data(to_send.substr(sent, static_cast<size_t>(std::min<int64_t>(credit, 32768))));
      stream->Write(PackBare(data));
      sent += data.data().size();
      credit -= static_cast<int64_t>(data.data().size());
    }
    streams_.Release(id);
  }

  void Ask(const std::string& id) {
    ServerStream* stream = streams_.Find(id);
    ASSERT_NE(stream, nullptr);
    types::AuthRequest request;
    request.set_host("registry.test");
    stream->Write(PackBare(request));
    Any any;
    ASSERT_TRUE(stream->Read(&any));
    credentials.ParseFromString(any.value());
    streams_.Release(id);
  }

  FakeStreaming& streams_;
};

class TransferTest : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = base::MakeTempDirectory(testing::TempDir(), "ctr-transfer");
    ASSERT_TRUE(directory.ok());
    directory_ = *directory;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + directory_ + "/s", grpc::InsecureServerCredentials());
    builder.RegisterService(&leases_);
    builder.RegisterService(&streams_);
    builder.RegisterService(&transfer_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void TearDown() override {
    server_->Shutdown();
    (void)base::RemoveTree(directory_);
  }

  int Run(const std::vector<std::string>& words) {
    Command program{.names = "ctr", .summary = "test", .commands = {ImagesCommand()}};
    program.flags = {{FlagKind::kText, "address", "", directory_ + "/s"},
                     {FlagKind::kDuration, "timeout", "", "30s"},
                     {FlagKind::kDuration, "connect-timeout", "", "0s"},
                     {FlagKind::kText, "namespace", "", "test"}};
    testing::internal::CaptureStdout();
    const int code = RunProgram(program, words);
    std::fflush(stdout);
    output_ = testing::internal::GetCapturedStdout();
    return code;
  }

  std::string directory_;
  std::string output_;
  FakeLeases leases_;
  FakeStreaming streams_;
  FakeTransfer transfer_{streams_};
  std::unique_ptr<grpc::Server> server_;
};

std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

TEST_F(TransferTest, ImportSendsTheArchiveWithinItsCredit) {
  const std::string archive = Bytes(300001);
  ASSERT_THAT(base::WriteFileAtomically(directory_ + "/a.tar", archive, 0644), base::IsOk());
  ASSERT_EQ(0, Run({"images", "import", "--base-name", "local.test/x", directory_ + "/a.tar"}));
  EXPECT_EQ(transfer_.received, archive);
  EXPECT_EQ(transfer_.over_credit, 0);
  types::ImageStore store;
  ASSERT_TRUE(store.ParseFromString(transfer_.last.destination().value()));
  EXPECT_EQ(store.extra_references(0).name(), "local.test/x");
  EXPECT_FALSE(store.extra_references(0).allow_overwrite());
  EXPECT_EQ(store.unpacks_size(), 1);
  EXPECT_THAT(output_, HasSubstr("saved"));
  EXPECT_THAT(output_, HasSubstr("Completed"));
}

TEST_F(TransferTest, AnEmptyArchiveEndsToo) {
  ASSERT_THAT(base::WriteFileAtomically(directory_ + "/a.tar", "", 0644), base::IsOk());
  ASSERT_EQ(0, Run({"images", "import", directory_ + "/a.tar"}));
  EXPECT_EQ(transfer_.received, "");
}

TEST_F(TransferTest, ExportWritesAllThatComes) {
  transfer_.to_send = Bytes(500003);
  ASSERT_EQ(0, Run({"images", "export", directory_ + "/out.tar", "local.test/x:1", "other:2"}));
  ASSERT_OK_AND_ASSIGN(const std::string written, base::ReadFile(directory_ + "/out.tar"));
  EXPECT_EQ(written, transfer_.to_send);
  EXPECT_EQ(output_, "");
  types::ImageStore store;
  ASSERT_TRUE(store.ParseFromString(transfer_.last.source().value()));
  EXPECT_EQ(store.name(), "local.test/x:1");
  EXPECT_EQ(store.extra_references(0).name(), "other:2");
}

TEST_F(TransferTest, PullAnswersForCredentials) {
  ASSERT_EQ(0, Run({"images", "pull", "--plain-http", "--user", "me:secret:too", "r.test/i:1"}));
  EXPECT_EQ(transfer_.credentials.authtype(), types::CREDENTIALS);
  EXPECT_EQ(transfer_.credentials.username(), "me");
  EXPECT_EQ(transfer_.credentials.secret(), "secret:too");
  types::OCIRegistry registry;
  ASSERT_TRUE(registry.ParseFromString(transfer_.last.source().value()));
  EXPECT_EQ(registry.resolver().default_scheme(), "http");
  types::ImageStore store;
  ASSERT_TRUE(store.ParseFromString(transfer_.last.destination().value()));
  EXPECT_TRUE(store.all_metadata());
  EXPECT_EQ(store.platforms_size(), 1);
}

TEST_F(TransferTest, FlagsThatNeedALocalPullAreRefused) {
  EXPECT_EQ(1, Run({"images", "pull", "--print-chainid", "r.test/i:1"}));
  EXPECT_EQ(1,
            Run({"images", "pull", "--platform", "linux/arm64", "--all-platforms", "r.test/i:1"}));
}

}  // namespace
}  // namespace ctrd::ctr
