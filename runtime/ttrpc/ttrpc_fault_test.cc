// SPDX-License-Identifier: Apache-2.0

// Peers that break the protocol, or break off, on either side: what they do ends at most their own
// connection, and mostly only their own call. The test is the peer, over a pair of sockets.
#include <future>
#include <random>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"
#include "runtime/ttrpc/testing/peer.h"

namespace ctrd::runtime::ttrpc {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

class TtrpcFaultTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK_AND_ASSIGN(thread_, base::EventLoopThread::Create()); }
  void TearDown() override {
    OnLoop([this] {
      held_.clear();
      server_.reset();
    });
    client_.reset();
    thread_.reset();
  }
  void OnLoop(const std::function<void()>& task) {
    std::promise<void> done;
    thread_->loop()->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  // The client is tested.
  Peer ServerPeer() {
    base::UniqueFd end;
    Peer peer(end);
    client_ = Client::Adopt(thread_->loop(), std::move(end));
    return peer;
  }
  std::future<Response> Call(absl::Time deadline = Soon()) {
    auto answer = std::make_shared<std::promise<Response>>();
    client_->Call({.service = "s", .method = "M"}, deadline,
                  [answer](Response response) { answer->set_value(std::move(response)); });
    return answer->get_future();
  }
  // The client still does as it should.
  void ExpectClientWorks(Peer& peer) {
    auto answer = Call();
    const auto request = peer.Read();
    ASSERT_TRUE(request.has_value());
    peer.Write(*EncodeResponseFrame(request->stream, std::string("fine")));
    EXPECT_EQ(answer.get().value(), "fine");
  }

  // The server is tested.
  Peer ClientPeer() {
    base::UniqueFd end;
    Peer peer(end);
    OnLoop([&] {
      if (server_ == nullptr) {
        server_ = std::make_unique<Server>(thread_->loop());
        server_->AddService(
            "s", {{"Echo", [](const ttrpc::Call& call, Responder r) { r.Reply(call.payload); }},
                  {"Namespace",
                   [](const ttrpc::Call& call, Responder r) {
                     r.Reply(std::string(FirstValue(call.metadata, kNamespaceKey)));
                   }},
                  {"Hold", [this](const ttrpc::Call&, Responder r) { held_.push_back(r); }}});
      }
      server_->Adopt(std::move(end));
    });
    return peer;
  }
  static Request To(std::string method, int64_t timeout_nanoseconds = 0) {
    return {.service = "s",
            .method = std::move(method),
            .payload = "text",
            .timeout_nanoseconds = timeout_nanoseconds};
  }
  static void ExpectServerWorks(Peer& peer, uint32_t stream) {
    peer.Write(*EncodeRequestFrame(stream, To("Echo")));
    const auto frame = peer.Read();
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->stream, stream);
    EXPECT_EQ(DecodeResponse(frame->data).value(), "text");
  }

  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Server> server_;
  std::vector<Responder> held_;
};

TEST_F(TtrpcFaultTest, ClientIgnoresAnswersThatNobodyWaitsFor) {
  Peer peer = ServerPeer();
  for (const uint32_t stream : {0u, 2u, 99u}) peer.Write(stream, kResponse, "");
  peer.Write(99, kData, "late");
  ExpectClientWorks(peer);
}

TEST_F(TtrpcFaultTest, ClientDoesNotWaitForTheEndOfAnEndlessAnswerToNothing) {
  Peer peer = ServerPeer();
  peer.Write(Peer::Header(0xffffffff, 1, kResponse) + std::string(1000, 'x'));
  EXPECT_FALSE(peer.Read().has_value());
  EXPECT_EQ(Call().get().status(), ClosedError());
}

TEST_F(TtrpcFaultTest, ClientEndsACallThatGetsAStreamAndOnlyThat) {
  Peer peer = ServerPeer();
  auto first = Call(), second = Call();
  const auto one = peer.Read(), two = peer.Read();
  ASSERT_TRUE(one && two);
  peer.Write(one->stream, kData, "data");
  EXPECT_THAT(first.get(), StatusIs(absl::StatusCode::kUnknown, "protocol error"));
  peer.Write(*EncodeResponseFrame(two->stream, std::string("answer")));
  EXPECT_EQ(second.get().value(), "answer");
  ExpectClientWorks(peer);
}

TEST_F(TtrpcFaultTest, ClientEndsACallWhoseAnswerIsGarbageAndOnlyThat) {
  Peer peer = ServerPeer();
  auto answer = Call();
  const auto request = peer.Read();
  ASSERT_TRUE(request.has_value());
  peer.Write(request->stream, kResponse, "\x0a\x7f");
  EXPECT_THAT(answer.get(), testing::Not(IsOk()));
  ExpectClientWorks(peer);
}

TEST_F(TtrpcFaultTest, ClientSurvivesAnAnswerAfterItsDeadline) {
  Peer peer = ServerPeer();
  auto answer = Call(absl::Now() + absl::Milliseconds(1));
  const auto request = peer.Read();
  ASSERT_TRUE(request.has_value());
  EXPECT_NE(DecodeRequest(request->data)->timeout_nanoseconds, 0);
  EXPECT_THAT(answer.get(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "context deadline exceeded"));
  peer.Write(*EncodeResponseFrame(request->stream, std::string("late")));
  ExpectClientWorks(peer);
}

TEST_F(TtrpcFaultTest, ClientEndsAllCallsWhenTheServerBreaksOffInsideAFrame) {
  Peer peer = ServerPeer();
  auto first = Call(), second = Call();
  peer.Write(Peer::Header(100, 1, kResponse) + "not all of it");
  peer.Close();
  EXPECT_TRUE(IsClosedError(first.get().status()));
  EXPECT_TRUE(IsClosedError(second.get().status()));
}

TEST_F(TtrpcFaultTest, ServerAnswersInTheCallersTimeAndDropsWhatComesLater) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold", 1'000'000)));
  peer.Write(*EncodeRequestFrame(3, To("Hold", -1)));
  std::set<uint32_t> late;
  for (int i = 0; i < 2; ++i) {
    const auto frame = peer.Read();
    ASSERT_TRUE(frame.has_value());
    late.insert(frame->stream);
    EXPECT_THAT(DecodeResponse(frame->data),
                StatusIs(absl::StatusCode::kDeadlineExceeded, "context deadline exceeded"));
  }
  EXPECT_EQ(late, (std::set<uint32_t>{1, 3}));
  OnLoop([this] {
    for (const Responder& responder : held_) responder.Reply("too late");
  });
  ExpectServerWorks(peer, 5);
}

TEST_F(TtrpcFaultTest, ServerReadsTheFirstValueOfAKey) {
  Peer peer = ClientPeer();
  Request request = To("Namespace");
  request.metadata = {{"other", "x"},
                      {std::string(kNamespaceKey), "first"},
                      {std::string(kNamespaceKey), "second"}};
  peer.Write(*EncodeRequestFrame(1, request));
  const auto frame = peer.Read();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(DecodeResponse(frame->data).value(), "first");
}

TEST_F(TtrpcFaultTest, ServerEndsACallThatGetsDataAndOnlyThat) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold")));
  peer.Write(1, kData, "data");
  peer.Write(1, kData, "", /*flags=*/5);  // Closed and without data.
  for (int i = 0; i < 2; ++i) {
    const auto frame = peer.Read();
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->stream, 1u);
    EXPECT_THAT(DecodeResponse(frame->data),
                StatusIs(absl::StatusCode::kInvalidArgument, "StreamID is no longer active"));
  }
  ExpectServerWorks(peer, 3);
}

TEST_F(TtrpcFaultTest, ServerClosesAConnectionThatIsHalfClosedOrBrokenOffAndNoOther) {
  Peer half = ClientPeer(), broken = ClientPeer(), good = ClientPeer();
  half.Write(*EncodeRequestFrame(1, To("Hold")));
  half.EndOfWriting();
  EXPECT_EQ(half.Read(), std::nullopt);  // Without an answer.
  broken.Write(Peer::Header(100, 1, kRequest) + "not all of it");
  broken.EndOfWriting();
  EXPECT_EQ(broken.Read(), std::nullopt);
  // An answer to who has gone goes nowhere.
  OnLoop([this] {
    for (const Responder& responder : held_) responder.Reply("nobody");
  });
  ExpectServerWorks(good, 1);
}

TEST_F(TtrpcFaultTest, ServerOutlivesAnyFrames) {
  Peer good = ClientPeer();
  std::minstd_rand random(4711);  // Always the same ones.
  for (int round = 0; round < 20; ++round) {
    Peer peer = ClientPeer();
    for (int i = 0; i < 50; ++i) {
      std::string data(random() % 64, '\0');
      for (char& byte : data) byte = static_cast<char>(random());
      peer.Write(random() % 8, static_cast<int>(random() % 6), data,
                 static_cast<int>(random() % 8));
    }
    peer.Close();
  }
  ExpectServerWorks(good, 1);
}

}  // namespace
}  // namespace ctrd::runtime::ttrpc
