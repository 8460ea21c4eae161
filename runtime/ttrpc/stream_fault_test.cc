// SPDX-License-Identifier: Apache-2.0

// Streams whose peer breaks the rules, breaks off, or does not read: what it does ends its stream,
// at most its connection, and no other.
#include <random>

#include "runtime/ttrpc/testing/stream_test_base.h"

namespace ctrd::runtime::ttrpc {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

using StreamFaultTest = StreamTestBase;

constexpr int kEnd = kRemoteClosed | kNoData;

// ---- The server.

TEST_F(StreamFaultTest, DataOnAFinishedStreamIsRefused) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Sum", "a"), kRemoteOpen));
  peer.Write(1, kData, "", kEnd);
  ExpectResponse(peer, 1, std::string("a"));
  peer.Write(1, kData, "late");
  ExpectResponse(peer, 1, absl::InvalidArgumentError("StreamID is no longer active"));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, ACloseWithDataIsTakenAndThenRefused) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold"), kRemoteOpen));
  peer.Write(1, kData, "data", kRemoteClosed);
  ExpectResponse(peer, 1, absl::InvalidArgumentError("data close message cannot include data"));
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(held_log_.messages(), ElementsAre("data"));
  peer.Write(1, kData, "more");
  ExpectResponse(peer, 1, absl::InvalidArgumentError("StreamID is no longer active"));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, DataAfterTheCloseIsRefused) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold"), kRemoteOpen));
  peer.Write(1, kData, "", kEnd);
  peer.Write(1, kData, "", kEnd);  // Said twice, which harms nobody.
  peer.Write(1, kData, "more");
  ExpectResponse(peer, 1, absl::InvalidArgumentError("data handling error: ttrpc: stream closed"));
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kInvalidArgument));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, DataForAMethodWithoutThemIsRefused) {
  OnLoop([this] {
    server_->AddStreams("one",
                        {{"Hold", {StreamKind::kServerStreams, [this](const Call&, ServerStream) {
                                     return held_log_.events();
                                   }}}});
  });
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, {.service = "one", .method = "Hold"}, kRemoteClosed));
  peer.Write(1, kData, "more");
  ExpectResponse(peer, 1, absl::InvalidArgumentError("data handling error: ttrpc: stream closed"));
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(held_log_.messages(), ElementsAre(""));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, FramesWithoutDataCarryNoMessage) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Sum"), kRemoteOpen));
  peer.Write(1, kData, "not meant", kNoData);
  peer.Write(1, kData, "meant");
  peer.Write(1, kData, "", kRemoteClosed);  // An empty message, and the end.
  ExpectResponse(peer, 1, std::string("meant"));
}

TEST_F(StreamFaultTest, AReusedIdEndsItsStream) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold"), kRemoteOpen));
  peer.Write(*EncodeRequestFrame(1, To("Echo")));
  ExpectResponse(peer, 1,
                 absl::InvalidArgumentError("StreamID cannot be re-used and must increment"));
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kInvalidArgument));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, AMessageOverTheLimitEndsItsStream) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold"), kRemoteOpen));
  peer.Write(1, kData, std::string(kMaxMessageBytes + 1, 'x'));
  ExpectResponse(peer, 1, OversizeError(kMaxMessageBytes + 1));
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kResourceExhausted));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, TheServerCannotSendMessagesOverTheLimit) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold", "begin"), kRemoteOpen));
  (void)held_log_.AwaitMessages(1);
  OnLoop([this] {
    EXPECT_THAT(held_[0].Send(std::string(kMaxMessageBytes + 1, 'x')),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("exceed maximum")));
    held_[0].Finish(std::string(kMaxMessageBytes + 1, 'x'));
  });
  ExpectResponse(peer, 1, OversizeError(kMaxMessageBytes + 1));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, AMethodThatDoesNotReadLosesItsStreamAndNoOther) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold", "begin"), kRemoteOpen));
  (void)held_log_.AwaitMessages(1);
  OnLoop([this] { held_[0].Pause(); });
  const std::string large(1 << 20, 'x');
  for (size_t sent = 0; sent < kMostUnreadBytes; sent += large.size()) peer.Write(1, kData, large);
  ExpectResponse(peer, 1,
                 absl::InvalidArgumentError("data handling error: ttrpc: stream buffer full"));
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(held_log_.messages(), ElementsAre("begin"));
  ExpectServerWorks(peer, 3);
}

TEST_F(StreamFaultTest, EmptyMessagesTakeRoomToo) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold", "begin"), kRemoteOpen));
  (void)held_log_.AwaitMessages(1);
  OnLoop([this] { held_[0].Pause(); });
  std::string frames;
  for (int i = 0; i < 4096; ++i) frames += *EncodeDataFrame(1, 0, "");
  for (int i = 0; i < 64 && !held_log_.ended(); ++i) peer.Write(frames);
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(StreamFaultTest, AClientThatDoesNotReadStopsTheSender) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Hold", "begin"), kRemoteOpen));
  (void)held_log_.AwaitMessages(1);
  const std::string large(1 << 20, 'x');
  size_t sent = 0;
  OnLoop([&] {
    while (held_[0].Send(large).ok()) ++sent;
    EXPECT_THAT(held_[0].Send("more"), StatusIs(absl::StatusCode::kUnavailable));
  });
  EXPECT_LE(sent * large.size(), kMostUnsentBytes + (4 << 20));  // And what the socket takes.
  for (size_t i = 0; i < sent; ++i) ExpectData(peer, 1, 0, large);
  held_log_.AwaitWritable();
  OnLoop([this] { EXPECT_THAT(held_[0].Send("again"), IsOk()); });
  ExpectData(peer, 1, 0, "again");
}

TEST_F(StreamFaultTest, TheServerLearnsThatItsClientBrokeOff) {
  for (const bool inside_a_frame : {false, true}) {
    held_log_ = StreamLog();
    Peer peer = ClientPeer(), good = ClientPeer();
    peer.Write(*EncodeRequestFrame(1, To("Hold", "begin"), kRemoteOpen));
    (void)held_log_.AwaitMessages(1);
    if (inside_a_frame) peer.Write(Peer::Header(100, 1, kData) + "not all of it");
    peer.Close();
    EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kCancelled));
    EXPECT_THAT(held_log_.messages(), ElementsAre("begin"));
    OnLoop([this] {
      EXPECT_THAT(held_.back().Send("nobody"), testing::Not(IsOk()));
      held_.back().Finish(std::string());
    });
    ExpectServerWorks(good, 1);
  }
}

TEST_F(StreamFaultTest, AStreamLearnsThatItsServerIsGone) {
  ConnectClient();
  Open("Hold", StreamKind::kBothStream, "begin");
  (void)held_log_.AwaitMessages(1);
  OnLoop([this] { server_.reset(); });
  EXPECT_TRUE(IsClosedError(log_.AwaitEnd().status()));
  EXPECT_THAT(held_log_.AwaitEnd(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(StreamFaultTest, TheServerOutlivesAnyFramesOnStreams) {
  Peer good = ClientPeer();
  std::minstd_rand random(4712);  // Always the same ones.
  const char* const methods[] = {"Sum", "Count", "Chat", "Last", "Fail", "Hold", "Echo", "None"};
  for (int round = 0; round < 20; ++round) {
    Peer peer = ClientPeer();
    for (uint32_t i = 1; i < 60; i += 2) {
      const Request request =
          To(methods[random() % std::size(methods)], std::string(random() % 3, 'x'));
      peer.Write(*EncodeRequestFrame(i, request, static_cast<uint8_t>(random() % 4)));
      for (int k = 0; k < 3; ++k) {
        peer.Write(i - random() % 3, static_cast<int>(random() % 4), std::string(random() % 4, 'y'),
                   static_cast<int>(random() % 8));
      }
    }
    peer.Close();
  }
  ExpectServerWorks(good, 1);
}

// ---- The client.

TEST_F(StreamFaultTest, DataForOneAnswerIsAProtocolErrorOfThatStream) {
  Peer peer = ServerPeer();
  Open("M", StreamKind::kClientStreams);
  StreamLog other;
  const auto second = client_->Open(To("M"), StreamKind::kBothStream, Soon(), other.events());
  peer.Write(1, kData, "data");
  EXPECT_THAT(log_.AwaitEnd(), StatusIs(absl::StatusCode::kUnknown, "protocol error"));
  peer.Write(1, kData, "more of it", kRemoteClosed);
  peer.Write(3, kData, "fine", kRemoteClosed);
  EXPECT_THAT(other.AwaitEnd(), IsOk());
  EXPECT_THAT(other.messages(), ElementsAre("fine"));
}

TEST_F(StreamFaultTest, AnAnswerEndsAStreamOfMessages) {
  Peer peer = ServerPeer();
  Open("M", StreamKind::kServerStreams);
  peer.Write(1, kData, "one");
  peer.Write(1, kData, "not a message", kNoData);
  peer.Write(*EncodeResponseFrame(1, absl::DataLossError("lost")));
  peer.Write(1, kData, "late");
  EXPECT_THAT(log_.AwaitEnd(), StatusIs(absl::StatusCode::kDataLoss, "lost"));
  EXPECT_THAT(log_.messages(), ElementsAre("one"));
}

TEST_F(StreamFaultTest, AnUnreadableAnswerOrAFrameOfAnotherTypeEndsItsStream) {
  Peer peer = ServerPeer();
  Open("M", StreamKind::kBothStream);
  peer.Write(1, kResponse, "\x0a\x7f");
  EXPECT_THAT(log_.AwaitEnd(), testing::Not(IsOk()));
  StreamLog other;
  const auto second = client_->Open(To("M"), StreamKind::kBothStream, Soon(), other.events());
  peer.Write(3, kRequest, "");
  EXPECT_THAT(other.AwaitEnd(), StatusIs(absl::StatusCode::kUnknown, "protocol error"));
}

TEST_F(StreamFaultTest, AMessageOverTheLimitEndsTheClientsStream) {
  Peer peer = ServerPeer();
  Open("M", StreamKind::kServerStreams);
  EXPECT_THAT(stream_->Send("x"), testing::Not(IsOk()));
  peer.Write(Peer::Header(kMaxMessageBytes + 1, 1, kData));
  EXPECT_THAT(log_.AwaitEnd(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(StreamFaultTest, TheClientCannotSendMessagesOverTheLimit) {
  ConnectClient();
  Open("Sum", StreamKind::kClientStreams);
  EXPECT_THAT(stream_->Send(std::string(kMaxMessageBytes + 1, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("exceed maximum")));
  EXPECT_THAT(stream_->Send("a"), IsOk());
  EXPECT_THAT(stream_->CloseSend(), IsOk());
  EXPECT_EQ(log_.AwaitEnd().value(), "a");
  StreamLog other;
  const auto never = client_->Open(To("Sum", std::string(kMaxMessageBytes, 'x')),
                                   StreamKind::kClientStreams, Soon(), other.events());
  EXPECT_THAT(other.AwaitEnd(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(never->Send("x"), testing::Not(IsOk()));
}

TEST_F(StreamFaultTest, AReaderThatDoesNotReadLosesItsStreamAndNoOther) {
  Peer peer = ServerPeer();
  Open("M", StreamKind::kBothStream);
  (void)peer.Read();
  stream_->Pause();
  OnLoop([] {});  // It is paused now.
  const std::string large(1 << 20, 'x');
  for (size_t sent = 0; sent < kMostUnreadBytes; sent += large.size()) peer.Write(1, kData, large);
  EXPECT_THAT(log_.AwaitEnd(),
              StatusIs(absl::StatusCode::kResourceExhausted, "ttrpc: stream buffer full"));
  ExpectData(peer, 1, kEnd, "");  // The server may stop waiting for more.
  StreamLog other;
  const auto second = client_->Open(To("M"), StreamKind::kServerStreams, Soon(), other.events());
  peer.Write(3, kData, "", kEnd);
  EXPECT_THAT(other.AwaitEnd(), IsOk());
}

TEST_F(StreamFaultTest, AServerThatDoesNotReadStopsTheClient) {
  Peer peer = ServerPeer();
  Open("M", StreamKind::kBothStream);
  const std::string large(1 << 20, 'x');
  size_t sent = 0;
  while (stream_->Send(large).ok()) ++sent;
  EXPECT_THAT(stream_->Send("more"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_LE(sent * large.size(), kMostUnsentBytes + (4 << 20));
  (void)peer.Read();
  for (size_t i = 0; i < sent; ++i) ExpectData(peer, 1, 0, large);
  log_.AwaitWritable();
  EXPECT_THAT(stream_->Send("again"), IsOk());
  ExpectData(peer, 1, 0, "again");
}

TEST_F(StreamFaultTest, ALostConnectionEndsStreamsOnceAndTheOwnerIsToldAfterwards) {
  for (const bool inside_a_frame : {false, true}) {
    log_ = StreamLog();
    Peer peer = ServerPeer();
    Open("M", StreamKind::kBothStream);
    std::promise<bool> ended_before;
    client_->OnClose([&] { ended_before.set_value(log_.ended()); });
    peer.Write(1, kData, "one");
    if (inside_a_frame) peer.Write(Peer::Header(100, 1, kData) + "not all of it");
    peer.Close();
    EXPECT_TRUE(IsClosedError(log_.AwaitEnd().status()));
    EXPECT_TRUE(ended_before.get_future().get());
    EXPECT_THAT(log_.messages(), ElementsAre("one"));
    EXPECT_THAT(stream_->Send("x"), testing::Not(IsOk()));
    Open("M", StreamKind::kBothStream);  // Never came about.
  }
}

TEST_F(StreamFaultTest, AStreamOnALostConnectionEndsAtOnce) {
  Peer peer = ServerPeer();
  std::promise<void> closed;
  client_->OnClose([&] { closed.set_value(); });
  peer.Close();
  closed.get_future().wait();
  Open("M", StreamKind::kBothStream);
  EXPECT_TRUE(IsClosedError(log_.AwaitEnd().status()));
  EXPECT_THAT(stream_->CloseSend(), testing::Not(IsOk()));
}

}  // namespace
}  // namespace ctrd::runtime::ttrpc
