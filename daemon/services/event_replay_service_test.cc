// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/event_replay_service.h"

#include <memory>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "grpcpp/grpcpp.h"

namespace ctrd::services {
namespace {

using grpc::StatusCode;
using replay_v1::ReadResponse;
using testing::ElementsAre;

class EventReplayServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-replay-"));
    Start();
  }
  void TearDown() override {
    Stop();
    EXPECT_THAT(base::RemoveTree(dir_), base::IsOk());
  }
  void Start(const events::LogLimits& limits = {}) {
    auto log = events::EventLog::Open(dir_ + "/log", limits);
    ASSERT_THAT(log, base::IsOk());
    exchange_ = std::make_unique<events::Exchange>(events::QueueLimits{}, *std::move(log));
    service_ = std::make_unique<EventReplayService>(*exchange_);
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = replay_v1::Replay::NewStub(server_->InProcessChannel({}));
  }
  void Stop() {
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    service_.reset();
    exchange_.reset();
  }

  void Publish(const std::string& topic, absl::Time at = absl::Now()) {
    EXPECT_THAT(exchange_->Publish({.timestamp = at,
                                    .namespace_name = "default",
                                    .topic = topic,
                                    .payload = {.type_url = "t", .value = topic}}),
                base::IsOk());
  }

  // The topics, "gap" for a gap; the cursor of the last response.
  std::vector<std::string> Read(const replay_v1::ReadRequest& request,
                                std::string* cursor = nullptr, StatusCode code = StatusCode::OK) {
    grpc::ClientContext context;
    auto stream = stub_->Read(&context, request);
    std::vector<std::string> topics;
    for (ReadResponse response; stream->Read(&response);) {
      if (cursor != nullptr) *cursor = response.cursor();
      if (response.has_gap()) topics.push_back("gap");
      if (response.has_envelope()) topics.push_back(response.envelope().topic());
    }
    EXPECT_EQ(stream->Finish().error_code(), code);
    return topics;
  }
  static replay_v1::ReadRequest After(const std::string& cursor) {
    replay_v1::ReadRequest request;
    request.set_after(cursor);
    return request;
  }

  std::string dir_;
  std::unique_ptr<events::Exchange> exchange_;
  std::unique_ptr<EventReplayService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<replay_v1::Replay::Stub> stub_;
};

TEST_F(EventReplayServiceTest, ACursorOutlivesTheSubscriberAndTheDaemon) {
  Publish("/a");
  Publish("/b");
  std::string cursor;
  EXPECT_THAT(Read(After(""), &cursor), ElementsAre("/a", "/b"));
  Publish("/c");
  Stop();
  Start();
  Publish("/d");
  EXPECT_THAT(Read(After(cursor), &cursor), ElementsAre("/c", "/d"));
  EXPECT_THAT(Read(After(cursor), &cursor), ElementsAre());
  EXPECT_THAT(Read(After("end")), ElementsAre());
}

TEST_F(EventReplayServiceTest, AFollowerGetsWhatWasAndWhatComes) {
  Publish("/a");
  grpc::ClientContext context;
  replay_v1::ReadRequest request;
  request.set_follow(true);
  auto stream = stub_->Read(&context, request);
  ReadResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_FALSE(response.has_envelope());
  EXPECT_NE(response.cursor(), "");
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.envelope().topic(), "/a");
  EXPECT_EQ(response.envelope().namespace_(), "default");
  EXPECT_EQ(response.envelope().event().value(), "/a");
  Publish("/b");
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.envelope().topic(), "/b");
  context.TryCancel();
  EXPECT_FALSE(stream->Read(&response));
  (void)stream->Finish();
}

TEST_F(EventReplayServiceTest, FiltersAndTimesChoose) {
  const absl::Time start = absl::FromUnixSeconds(1700000000);
  for (int i = 0; i < 4; ++i) Publish(i % 2 == 0 ? "/even" : "/odd", start + absl::Seconds(i));
  replay_v1::ReadRequest request;
  request.add_filters("topic==\"/odd\"");
  EXPECT_THAT(Read(request), ElementsAre("/odd", "/odd"));
  request.mutable_since()->set_seconds(1700000002);
  EXPECT_THAT(Read(request), ElementsAre("/odd"));
  request.add_filters("topic=x");
  EXPECT_THAT(Read(request, nullptr, StatusCode::INVALID_ARGUMENT), ElementsAre());
}

TEST_F(EventReplayServiceTest, WhatIsGoneIsTold) {
  Publish("/first");
  std::string cursor;
  (void)Read(After(""), &cursor);
  Stop();
  Start({.events = 16, .bytes = 1 << 20, .segment_bytes = 1 << 18});
  for (int i = 0; i < 100; ++i) Publish("/n");
  const auto topics = Read(After(cursor));
  ASSERT_FALSE(topics.empty());
  EXPECT_EQ(topics[0], "gap");
  EXPECT_LE(topics.size(), 18u);
  EXPECT_EQ(Read(After(""))[0], "/n");  // The oldest that is kept is no gap.
}

TEST_F(EventReplayServiceTest, ACursorOfAnotherLogIsAGap) {
  Publish("/a");
  EXPECT_THAT(Read(After("other-77")), ElementsAre("gap", "/a"));
  EXPECT_THAT(Read(After("nonsense"), nullptr, StatusCode::INVALID_ARGUMENT), ElementsAre());
  EXPECT_THAT(Read(After("other-x"), nullptr, StatusCode::INVALID_ARGUMENT), ElementsAre());
  const std::string beyond = fmt::format("{}-99", exchange_->log()->id());
  EXPECT_THAT(Read(After(beyond), nullptr, StatusCode::OUT_OF_RANGE), ElementsAre());
}

}  // namespace
}  // namespace ctrd::services
