// SPDX-License-Identifier: Apache-2.0

// Streams of each kind between our client and our server, and what both write.
#include "runtime/ttrpc/stream.h"

#include "runtime/ttrpc/testing/stream_test_base.h"

namespace ctrd::runtime::ttrpc {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::IsEmpty;

using StreamTest = StreamTestBase;

TEST_F(StreamTest, AClientsMessagesGetOneAnswer) {
  ConnectClient();
  Open("Sum", StreamKind::kClientStreams, "a");
  for (const char* text : {"b", "", "c"}) EXPECT_THAT(stream_->Send(text), IsOk());
  EXPECT_FALSE(log_.ended());
  EXPECT_THAT(stream_->CloseSend(), IsOk());
  EXPECT_EQ(log_.AwaitEnd().value(), "abc");
  EXPECT_THAT(log_.messages(), IsEmpty());
  EXPECT_THAT(stream_->Send("late"), StatusIs(absl::StatusCode::kUnknown, "ttrpc: stream closed"));
  ExpectClientWorks();
}

TEST_F(StreamTest, AServersMessagesComeInTheirOrder) {
  ConnectClient();
  Open("Count", StreamKind::kServerStreams, "xxx");
  EXPECT_EQ(log_.AwaitEnd().value(), "");
  EXPECT_THAT(log_.messages(), ElementsAre("0", "1", "2"));
  EXPECT_THAT(stream_->Send("none of its business"), StatusIs(absl::StatusCode::kUnknown));
  ExpectClientWorks();
}

TEST_F(StreamTest, AnEmptyRequestReachesAMethodThatHasOnlyOne) {
  ConnectClient();
  Open("Count", StreamKind::kServerStreams, "");
  EXPECT_EQ(log_.AwaitEnd().value(), "");
  EXPECT_THAT(log_.messages(), IsEmpty());
}

TEST_F(StreamTest, TheLastMessageMayComeWithTheEnd) {
  ConnectClient();
  Open("Last", StreamKind::kServerStreams, "bye");
  EXPECT_EQ(log_.AwaitEnd().value(), "");
  EXPECT_THAT(log_.messages(), ElementsAre("bye"));
}

TEST_F(StreamTest, BothTalkUntilTheClientHasNoMoreToSay) {
  ConnectClient();
  Open("Chat", StreamKind::kBothStream);
  EXPECT_THAT(stream_->Send("one"), IsOk());
  EXPECT_THAT(log_.AwaitMessages(1), ElementsAre("one"));
  EXPECT_THAT(stream_->Send(""), IsOk());
  EXPECT_THAT(log_.AwaitMessages(2), ElementsAre("one", ""));
  EXPECT_FALSE(log_.ended());
  EXPECT_THAT(stream_->CloseSend(), IsOk());
  EXPECT_EQ(log_.AwaitEnd().value(), "");
}

TEST_F(StreamTest, AnErrorOfTheMethodEndsTheStream) {
  ConnectClient();
  Open("Fail", StreamKind::kBothStream, "x");
  EXPECT_THAT(log_.AwaitEnd(), StatusIs(absl::StatusCode::kNotFound, "thing: not found"));
  EXPECT_THAT(stream_->Send("late"), StatusIs(absl::StatusCode::kUnknown, "ttrpc: stream closed"));
  ExpectClientWorks();
}

TEST_F(StreamTest, UnknownMethodsAreUnimplemented) {
  ConnectClient();
  Open("Nothing", StreamKind::kBothStream);
  EXPECT_THAT(log_.AwaitEnd(), StatusIs(absl::StatusCode::kUnimplemented, "method Nothing"));
  EXPECT_THAT(client_->CallAndWait({.service = "x", .method = "y"}, Soon()),
              StatusIs(absl::StatusCode::kUnimplemented, "service x"));
}

TEST_F(StreamTest, ManyStreamsAndCallsShareAConnection) {
  ConnectClient();
  constexpr int kStreams = 50;
  std::vector<StreamLog> logs(kStreams);
  std::vector<std::unique_ptr<ClientStream>> streams;
  for (StreamLog& log : logs) {
    streams.push_back(client_->Open(To("Chat"), StreamKind::kBothStream, Soon(), log.events()));
  }
  for (int round = 0; round < 20; ++round) {
    for (const auto& stream : streams) EXPECT_THAT(stream->Send(std::to_string(round)), IsOk());
  }
  ExpectClientWorks();
  for (int i = 0; i < kStreams; ++i) {
    EXPECT_THAT(streams[i]->CloseSend(), IsOk());
    EXPECT_THAT(logs[i].AwaitEnd(), IsOk());
    EXPECT_EQ(logs[i].messages().size(), 20u);
    EXPECT_EQ(logs[i].messages().back(), "19");
  }
}

TEST_F(StreamTest, TheTimeOfAStreamRunsOutOnBothSides) {
  ConnectClient();
  Open("Hold", StreamKind::kBothStream, "", absl::Now() + absl::Milliseconds(20));
  EXPECT_THAT(log_.AwaitEnd(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "context deadline exceeded"));
  EXPECT_THAT(held_log_.AwaitEnd(), testing::Not(IsOk()));
  ExpectClientWorks();
}

TEST_F(StreamTest, APausedReaderGetsAllOfItLaterAndInOrder) {
  ConnectClient();
  Open("Hold", StreamKind::kBothStream, "begin");
  (void)held_log_.AwaitMessages(1);
  stream_->Pause();
  OnLoop([this] {
    EXPECT_THAT(held_[0].Send("one"), IsOk());
    EXPECT_THAT(held_[0].Send("two"), IsOk());
    held_[0].Finish(base::NotFound("three"));
  });
  ExpectClientWorks();  // What was sent before has come.
  EXPECT_THAT(log_.messages(), IsEmpty());
  EXPECT_FALSE(log_.ended());
  stream_->Resume();
  EXPECT_THAT(log_.AwaitEnd(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(log_.messages(), ElementsAre("one", "two"));
}

TEST_F(StreamTest, APausedMethodGetsAllOfItLater) {
  ConnectClient();
  Open("Hold", StreamKind::kBothStream, "begin");
  (void)held_log_.AwaitMessages(1);
  OnLoop([this] { held_[0].Pause(); });
  EXPECT_THAT(stream_->Send("one"), IsOk());
  EXPECT_THAT(stream_->CloseSend(), IsOk());
  ExpectClientWorks();
  EXPECT_THAT(held_log_.messages(), ElementsAre("begin"));
  OnLoop([this] { held_[0].Resume(); });
  held_log_.AwaitClosed();
  EXPECT_THAT(held_log_.messages(), ElementsAre("begin", "one"));
}

TEST_F(StreamTest, WhoGivesAStreamUpTellsTheServerThatNoMoreComes) {
  ConnectClient();
  Open("Hold", StreamKind::kBothStream, "begin");
  (void)held_log_.AwaitMessages(1);
  stream_.reset();
  held_log_.AwaitClosed();
  OnLoop([this] {
    EXPECT_THAT(held_[0].Send("nobody listens"), IsOk());
    held_[0].Finish(std::string());
    EXPECT_THAT(held_[0].Send("over"),
                StatusIs(absl::StatusCode::kUnknown, "ttrpc: stream closed"));
  });
  ExpectClientWorks();
  EXPECT_FALSE(log_.ended());
}

TEST_F(StreamTest, AStreamMayEndBeforeItsMethodReturns) {
  OnLoop([this] {
    server_->AddStreams("now",
                        {{"Refuse", {StreamKind::kBothStream, [](const Call&, ServerStream stream) {
                                       stream.Finish(absl::PermissionDeniedError("no"));
                                       return StreamEvents{};
                                     }}}});
  });
  ConnectClient();
  stream_ = client_->Open({.service = "now", .method = "Refuse", .payload = "x"},
                          StreamKind::kBothStream, Soon(), log_.events());
  EXPECT_THAT(log_.AwaitEnd(), StatusIs(absl::StatusCode::kPermissionDenied, "no"));
  ExpectClientWorks();
}

TEST_F(StreamTest, DrainLetsRunningStreamsFinish) {
  ConnectClient();
  Open("Hold", StreamKind::kBothStream, "begin");
  (void)held_log_.AwaitMessages(1);
  std::promise<void> drained;
  OnLoop([&] { server_->Drain([&] { drained.set_value(); }); });
  EXPECT_FALSE(log_.ended());
  OnLoop([this] { held_[0].Finish(std::string("done")); });
  EXPECT_THAT(log_.AwaitEnd(), IsOk());
  EXPECT_THAT(log_.messages(), ElementsAre("done"));
  drained.get_future().wait();
}

TEST_F(StreamTest, TheClientWritesTheFlagsOfEachKind) {
  struct Case {
    StreamKind kind;
    int flags;
  };
  for (const auto& [kind, flags] : {Case{StreamKind::kClientStreams, kRemoteOpen},
                                    Case{StreamKind::kServerStreams, kRemoteClosed},
                                    Case{StreamKind::kBothStream, kRemoteOpen}}) {
    Peer peer = ServerPeer();
    Open("M", kind);
    const auto request = peer.Read();
    ASSERT_TRUE(request.has_value());
    EXPECT_EQ(request->type, kRequest);
    EXPECT_EQ(request->flags, flags);
    EXPECT_NE(DecodeRequest(request->data)->timeout_nanoseconds, 0);
    if (kind == StreamKind::kServerStreams) continue;
    EXPECT_THAT(stream_->Send("x"), IsOk());
    EXPECT_THAT(stream_->Send(""), IsOk());
    EXPECT_THAT(stream_->CloseSend(), IsOk());
    ExpectData(peer, 1, 0, "x");
    ExpectData(peer, 1, 0, "");
    ExpectData(peer, 1, kRemoteClosed | kNoData, "");
  }
}

TEST_F(StreamTest, TheServerWritesTheEndOfEachKind) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Sum", "a"), kRemoteOpen));
  peer.Write(1, kData, "", kRemoteClosed | kNoData);
  ExpectResponse(peer, 1, std::string("a"));
  peer.Write(*EncodeRequestFrame(3, To("Count", "x"), kRemoteClosed));
  ExpectData(peer, 3, 0, "0");
  ExpectData(peer, 3, kRemoteClosed | kNoData, "");
  peer.Write(*EncodeRequestFrame(5, To("Last", "x"), kRemoteClosed));
  ExpectData(peer, 5, kRemoteClosed, "x");
  peer.Write(*EncodeRequestFrame(7, To("Fail", "x"), kRemoteOpen));
  ExpectResponse(peer, 7, base::NotFound("thing"));
}

TEST_F(StreamTest, FlagsOfTheRequestAreNotNeeded) {
  Peer peer = ClientPeer();
  peer.Write(*EncodeRequestFrame(1, To("Chat", "a")));
  ExpectData(peer, 1, 0, "a");
  peer.Write(1, kData, "", kRemoteClosed | kNoData);
  ExpectData(peer, 1, kRemoteClosed | kNoData, "");
}

}  // namespace
}  // namespace ctrd::runtime::ttrpc
