// SPDX-License-Identifier: Apache-2.0

// StreamTestBase: a server of one service "s" and clients, on the loop of one thread.
//
//   Sum    (client streams)  all messages, one after the other
//   Count  (server streams)  as many messages as its request is long: "0", "1", …
//   Chat   (both)            each message back; ends when the client does
//   Last   (server streams)  its request back as the last message
//   Fail   (both)            ends with an error after its first message
//   Hold   (both)            does what the test does: `held_`, whose events `held_log_` has
//   Echo   (unary)
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/event_loop.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"
#include "runtime/ttrpc/testing/peer.h"
#include "runtime/ttrpc/testing/stream_log.h"

namespace ctrd::runtime::ttrpc {

class StreamTestBase : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(thread_, base::EventLoopThread::Create());
    OnLoop([this] {
      server_ = std::make_unique<Server>(thread_->loop());
      server_->AddService("s",
                          {{"Echo", [](const Call& call, Responder r) { r.Reply(call.payload); }}});
      server_->AddStreams("s", TestStreams());
    });
  }
  void TearDown() override {
    stream_.reset();
    client_.reset();
    OnLoop([this] {
      held_.clear();
      server_.reset();
    });
    thread_.reset();
  }

  static absl::Time Soon() { return absl::Now() + absl::Seconds(30); }
  void OnLoop(const std::function<void()>& task) {
    std::promise<void> done;
    thread_->loop()->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  // A client of the server.
  void ConnectClient() {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    OnLoop([&] { server_->Adopt(base::UniqueFd(ends[0])); });
    client_ = Client::Adopt(thread_->loop(), base::UniqueFd(ends[1]));
  }
  // A client whose server is the test, and a server whose client is the test.
  Peer ServerPeer() {
    base::UniqueFd end;
    Peer peer(end);
    client_ = Client::Adopt(thread_->loop(), std::move(end));
    return peer;
  }
  Peer ClientPeer() {
    base::UniqueFd end;
    Peer peer(end);
    OnLoop([&] { server_->Adopt(std::move(end)); });
    return peer;
  }

  static Request To(std::string method, std::string payload = "") {
    return {.service = "s", .method = std::move(method), .payload = std::move(payload)};
  }
  void Open(std::string method, StreamKind kind, std::string payload = "",
            absl::Time deadline = Soon()) {
    stream_ =
        client_->Open(To(std::move(method), std::move(payload)), kind, deadline, log_.events());
  }
  void ExpectClientWorks() {
    EXPECT_EQ(client_->CallAndWait(To("Echo", "still"), Soon()).value(), "still");
  }
  static void ExpectServerWorks(Peer& peer, uint32_t stream) {
    peer.Write(*EncodeRequestFrame(stream, To("Echo", "still")));
    ExpectResponse(peer, stream, std::string("still"));
  }
  static void ExpectResponse(Peer& peer, uint32_t stream, const Response& expected) {
    const auto frame = peer.Read();
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->type, kResponse);
    EXPECT_EQ(frame->flags, 0);
    EXPECT_EQ(frame->stream, stream);
    const Response response = DecodeResponse(frame->data);
    EXPECT_EQ(response.status(), expected.status());
    if (response.ok() && expected.ok()) {
      EXPECT_EQ(*response, *expected);
    }
  }
  static void ExpectData(Peer& peer, uint32_t stream, int flags, std::string_view data) {
    const auto frame = peer.Read();
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->type, kData);
    EXPECT_EQ(frame->stream, stream);
    EXPECT_EQ(frame->flags, flags);
    EXPECT_EQ(frame->data, data);
  }

  Streams TestStreams() {
    return {
        {"Sum",
         {StreamKind::kClientStreams,
          [](const Call&, ServerStream stream) {
            const auto sum = std::make_shared<std::string>();
            return StreamEvents{.message = [sum](const std::string& text) { *sum += text; },
                                .closed = [sum, stream] { stream.Finish(*sum); }};
          }}},
        {"Count",
         {StreamKind::kServerStreams,
          [](const Call&, ServerStream stream) {
            return StreamEvents{.message = [stream](const std::string& request) {
              for (size_t i = 0; i < request.size(); ++i) {
                if (!stream.Send(std::to_string(i)).ok()) return;  // Nobody is there any more.
              }
              stream.Finish(std::string());
            }};
          }}},
        {"Chat",
         {StreamKind::kBothStream,
          [](const Call&, ServerStream stream) {
            return StreamEvents{
                .message = [stream](const std::string& text) { (void)stream.Send(text); },
                .closed = [stream] { stream.Finish(std::string()); }};
          }}},
        {"Last",
         {StreamKind::kServerStreams,
          [](const Call&, ServerStream stream) {
            return StreamEvents{
                .message = [stream](const std::string& text) { stream.Finish(text); }};
          }}},
        {"Fail",
         {StreamKind::kBothStream,
          [](const Call&, ServerStream stream) {
            return StreamEvents{.message = [stream](const std::string&) {
              stream.Finish(base::NotFound("thing"));
            }};
          }}},
        {"Hold",
         {StreamKind::kBothStream,
          [this](const Call&, ServerStream stream) {
            held_.push_back(stream);
            return held_log_.events();
          }}},
    };
  }

  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<ClientStream> stream_;
  std::vector<ServerStream> held_;
  StreamLog log_, held_log_;
};

}  // namespace ctrd::runtime::ttrpc
