// SPDX-License-Identifier: Apache-2.0

// Server and Client against each other, and the server against a peer that misbehaves.
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::ttrpc {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// A server of one service "test.Test" on a socket in a temporary directory:
//   Echo answers its payload; Hold answers at Release; Drop never answers; Huge answers 5 MiB.
class TtrpcTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "ttrpc-test-"));
    path_ = directory_ + "/s";
    ASSERT_OK_AND_ASSIGN(server_thread_, base::EventLoopThread::Create());
    ASSERT_OK_AND_ASSIGN(client_thread_, base::EventLoopThread::Create());
    ASSERT_OK_AND_ASSIGN(base::UniqueFd listener, ListenUnix(path_));
    OnServer([&] {
      server_ = std::make_unique<Server>(server_thread_->loop());
      server_->AddService("test.Test", TestService());
      ASSERT_THAT(server_->Listen(std::move(listener)), IsOk());
    });
  }
  void TearDown() override {
    OnServer([&] {
      held_.clear();
      server_.reset();
    });
    client_thread_.reset();
    server_thread_.reset();
    EXPECT_THAT(base::RemoveTree(directory_), IsOk());
  }

  Service TestService() {
    return {
        {"Echo", [](const Call& call, Responder responder) { responder.Reply(call.payload); }},
        {"Hold",
         [this](const Call&, Responder responder) {
           const std::lock_guard lock(mutex_);
           held_.push_back(std::move(responder));
           arrived_.notify_all();
         }},
        {"Drop", [](const Call&, Responder) {}},
        {"Huge",
         [](const Call&, Responder responder) { responder.Reply(std::string(5 << 20, 'x')); }},
        {"Fail",
         [](const Call&, Responder responder) { responder.Reply(base::NotFound("thing")); }},
    };
  }

  void OnServer(const std::function<void()>& task) {
    std::mutex mutex;
    std::condition_variable condition;
    bool done = false;
    server_thread_->loop()->Post([&] {
      task();
      const std::lock_guard lock(mutex);
      done = true;
      condition.notify_one();
    });
    std::unique_lock lock(mutex);
    condition.wait(lock, [&] { return done; });
  }
  void AwaitHeld(size_t count) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return held_.size() >= count; });
  }
  std::vector<Responder> TakeHeld() {
    const std::lock_guard lock(mutex_);
    return std::exchange(held_, {});
  }

  std::unique_ptr<Client> Connect() {
    auto client = Client::Connect(client_thread_->loop(), "unix://" + path_, Soon());
    EXPECT_THAT(client, IsOk());
    return std::move(client).value();
  }
  static Request To(std::string method, std::string payload = "") {
    return {.service = "test.Test", .method = std::move(method), .payload = std::move(payload)};
  }

  std::string directory_, path_;
  std::unique_ptr<base::EventLoopThread> server_thread_, client_thread_;
  std::unique_ptr<Server> server_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Responder> held_;
};

// Reads and writes frames by hand.
class RawPeer {
 public:
  explicit RawPeer(base::UniqueFd fd) : fd_(std::move(fd)) {}
  explicit RawPeer(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {.sun_family = AF_UNIX};
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  void Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(count, 0);
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }
  static std::string Header(uint32_t length, uint32_t stream, int type, int flags = 0) {
    std::string header;
    for (const uint32_t value : {length, stream}) {
      for (int shift = 24; shift >= 0; shift -= 8) header += static_cast<char>(value >> shift);
    }
    return header + static_cast<char>(type) + static_cast<char>(flags);
  }
  // The next frame: its stream and what it says.
  std::pair<uint32_t, Response> Read() {
    const std::string header = ReadExactly(kHeaderBytes);
    if (header.empty()) return {0, absl::UnknownError("end of file")};
    const auto number = [&](size_t at) {
      uint32_t value = 0;
      for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(header[i]);
      return value;
    };
    EXPECT_EQ(header[8], kResponse);
    EXPECT_EQ(header[9], 0);
    return {number(4), DecodeResponse(ReadExactly(number(0)))};
  }
  void ExpectEcho(uint32_t stream) {
    Write(*EncodeRequestFrame(stream,
                              {.service = "test.Test", .method = "Echo", .payload = "still"}));
    const auto [answered, response] = Read();
    EXPECT_EQ(answered, stream);
    ASSERT_THAT(response, IsOk());
    EXPECT_EQ(*response, "still");
  }

 private:
  std::string ReadExactly(size_t size) {
    std::string bytes(size, '\0');
    size_t have = 0;
    while (have < size) {
      const ssize_t count = recv(fd_.get(), bytes.data() + have, size - have, 0);
      if (count <= 0) return "";
      have += static_cast<size_t>(count);
    }
    return bytes;
  }
  base::UniqueFd fd_;
};

TEST_F(TtrpcTest, AnswersAndErrorsReachTheCaller) {
  const auto client = Connect();
  EXPECT_EQ(client->CallAndWait(To("Echo", "hello"), Soon()).value(), "hello");
  EXPECT_EQ(client->CallAndWait(To("Echo"), absl::InfiniteFuture()).value(), "");
  EXPECT_THAT(client->CallAndWait(To("Fail"), Soon()),
              StatusIs(absl::StatusCode::kNotFound, "thing: not found"));
  EXPECT_THAT(client->CallAndWait(To("Nothing"), Soon()),
              StatusIs(absl::StatusCode::kUnimplemented, "method Nothing"));
  EXPECT_THAT(client->CallAndWait({.service = "x.Y", .method = "Z"}, Soon()),
              StatusIs(absl::StatusCode::kUnimplemented, "service x.Y"));
  EXPECT_THAT(client->CallAndWait(To("Drop"), Soon()),
              StatusIs(absl::StatusCode::kUnknown, "ttrpc: marshal called with nil"));
}

TEST_F(TtrpcTest, WaitingCallsDoNotDelayOthers) {
  const auto client = Connect();
  std::atomic<int> answered = 0;
  std::mutex mutex;
  std::condition_variable condition;
  for (int i = 0; i < 2; ++i) {
    client->Call(To("Hold"), absl::InfiniteFuture(), [&](Response response) {
      EXPECT_EQ(response.value(), "late");
      const std::lock_guard lock(mutex);
      ++answered;
      condition.notify_one();
    });
  }
  EXPECT_EQ(client->CallAndWait(To("Echo", "first"), Soon()).value(), "first");
  EXPECT_EQ(answered, 0);
  for (const Responder& responder : TakeHeld()) responder.Reply("late");
  std::unique_lock lock(mutex);
  condition.wait(lock, [&] { return answered == 2; });
}

TEST_F(TtrpcTest, LateAnswerIsDroppedAndTheNextCallWorks) {
  const auto client = Connect();
  EXPECT_THAT(client->CallAndWait(To("Hold"), absl::Now() + absl::Milliseconds(20)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "context deadline exceeded"));
  std::mutex mutex;
  std::condition_variable condition;
  std::optional<Response> asynchronous;
  client->Call(To("Hold"), absl::Now() + absl::Milliseconds(20), [&](Response response) {
    const std::lock_guard lock(mutex);
    asynchronous = std::move(response);
    condition.notify_one();
  });
  {
    std::unique_lock lock(mutex);
    condition.wait(lock, [&] { return asynchronous.has_value(); });
  }
  EXPECT_THAT(*asynchronous, StatusIs(absl::StatusCode::kDeadlineExceeded));
  AwaitHeld(2);
  for (const Responder& responder : TakeHeld()) responder.Reply("late");
  EXPECT_EQ(client->CallAndWait(To("Echo", "next"), Soon()).value(), "next");
}

TEST_F(TtrpcTest, PassedDeadlineEndsTheCall) {
  const auto client = Connect();
  EXPECT_THAT(client->CallAndWait(To("Hold"), absl::Now() - absl::Seconds(1)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(TtrpcTest, ManyThreadsShareOneConnection) {
  // The server refuses ids that do not grow: every answer shows that they did.
  const auto client = Connect();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string payload = std::to_string(t * 1000 + i) + std::string(i * 50, '.');
        EXPECT_EQ(client->CallAndWait(To("Echo", payload), Soon()).value(), payload);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(TtrpcTest, LostConnectionEndsCallsThenTellsTheOwner) {
  const auto client = Connect();
  std::mutex mutex;
  std::condition_variable condition;
  std::vector<std::string> order;
  const auto note = [&](std::string what) {
    const std::lock_guard lock(mutex);
    order.push_back(std::move(what));
    condition.notify_one();
  };
  client->OnClose([&] { note("closed"); });
  client->Call(To("Hold"), absl::InfiniteFuture(), [&](Response response) {
    note(IsClosedError(response.status()) ? "call" : response.status().ToString());
  });
  AwaitHeld(1);
  OnServer([&] { server_.reset(); });
  std::unique_lock lock(mutex);
  condition.wait(lock, [&] { return order.size() == 2; });
  EXPECT_EQ(order, (std::vector<std::string>{"call", "closed"}));
  EXPECT_TRUE(client->closed());
  EXPECT_THAT(client->CallAndWait(To("Echo"), Soon()),
              StatusIs(absl::StatusCode::kUnknown, "ttrpc: closed"));
}

TEST_F(TtrpcTest, MessagesOverTheLimitFailAloneInBothDirections) {
  const auto client = Connect();
  EXPECT_THAT(client->CallAndWait(To("Echo", std::string(kMaxMessageBytes, 'x')), Soon()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(client->CallAndWait(To("Huge"), Soon()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("exceed maximum")));
  const std::string large((4 << 20) - 100, 'y');
  EXPECT_EQ(client->CallAndWait(To("Echo", large), Soon()).value(), large);
}

// What a client makes of a peer that answers a call with `bytes` and then says nothing more.
absl::Status AnswerOf(base::EventLoop* loop, const std::string& bytes) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  RawPeer peer{base::UniqueFd(ends[1])};
  const auto client = Client::Adopt(loop, base::UniqueFd(ends[0]));
  std::promise<absl::Status> answer;
  client->Call({.service = "test.Test", .method = "Echo"}, Soon(),
               [&](const Response& response) { answer.set_value(response.status()); });
  peer.Write(bytes);
  return answer.get_future().get();
}

TEST_F(TtrpcTest, AnAnswerOverTheLimitEndsItsCallBeforeItsDataCome) {
  EXPECT_THAT(AnswerOf(client_thread_->loop(), RawPeer::Header(0xffffffff, 1, kResponse)),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(TtrpcTest, WhatIsNoFrameEndsTheConnection) {
  EXPECT_THAT(AnswerOf(client_thread_->loop(), "HTTP/1.1 400 Bad Request\r\n"),
              StatusIs(absl::StatusCode::kUnknown, "ttrpc: closed"));
}

TEST_F(TtrpcTest, DrainLetsRunningCallsFinish) {
  const auto client = Connect();
  const auto idle = Connect();
  std::mutex mutex;
  std::condition_variable condition;
  std::optional<Response> answer;
  bool drained = false;
  client->Call(To("Hold"), absl::InfiniteFuture(), [&](Response response) {
    const std::lock_guard lock(mutex);
    answer = std::move(response);
    condition.notify_one();
  });
  AwaitHeld(1);
  OnServer([&] {
    server_->Drain([&] {
      const std::lock_guard lock(mutex);
      drained = true;
      condition.notify_one();
    });
    EXPECT_FALSE(drained);
  });
  for (const Responder& responder : TakeHeld()) responder.Reply("done");
  std::unique_lock lock(mutex);
  condition.wait(lock, [&] { return drained && answer.has_value(); });
  EXPECT_EQ(answer->value(), "done");
  EXPECT_THAT(Client::Connect(client_thread_->loop(), path_, Soon()), testing::Not(IsOk()));
}

TEST_F(TtrpcTest, EvenStreamIsRefused) {
  RawPeer peer(path_);
  for (const uint32_t stream : {0u, 2u}) {
    peer.Write(RawPeer::Header(0, stream, kRequest));
    const auto [answered, response] = peer.Read();
    EXPECT_EQ(answered, stream);
    EXPECT_THAT(response, StatusIs(absl::StatusCode::kInvalidArgument,
                                   "StreamID must be odd for client initiated streams"));
  }
  peer.ExpectEcho(1);
}

TEST_F(TtrpcTest, StreamsMustGrow) {
  RawPeer peer(path_);
  peer.ExpectEcho(5);
  for (const uint32_t stream : {5u, 3u}) {
    peer.Write(RawPeer::Header(0, stream, kRequest));
    EXPECT_THAT(peer.Read().second, StatusIs(absl::StatusCode::kInvalidArgument,
                                             "StreamID cannot be re-used and must increment"));
  }
  peer.ExpectEcho(7);
}

TEST_F(TtrpcTest, DataWithoutAStreamIsRefused) {
  RawPeer peer(path_);
  peer.Write(RawPeer::Header(3, 9, kData) + "abc");
  EXPECT_THAT(peer.Read().second,
              StatusIs(absl::StatusCode::kInvalidArgument, "StreamID is no longer active"));
  peer.ExpectEcho(9);
}

TEST_F(TtrpcTest, UnknownTypesAreIgnored) {
  RawPeer peer(path_);
  for (const int type : {0, 2, 4, 77, 255}) peer.Write(RawPeer::Header(2, 11, type) + "xx");
  peer.ExpectEcho(1);  // The first answer that comes.
}

TEST_F(TtrpcTest, BrokenEnvelopeUsesUpItsStream) {
  RawPeer peer(path_);
  peer.Write(RawPeer::Header(2, 1, kRequest) + "\x0a\x7f");
  EXPECT_THAT(peer.Read().second,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unmarshal request error: ")));
  peer.Write(*EncodeRequestFrame(1, {.service = "test.Test", .method = "Echo"}));
  EXPECT_THAT(peer.Read().second, StatusIs(absl::StatusCode::kInvalidArgument,
                                           "StreamID cannot be re-used and must increment"));
  peer.ExpectEcho(3);
}

TEST_F(TtrpcTest, FramesOverTheLimitAreSkippedAndTheLargestIsNot) {
  RawPeer peer(path_);
  peer.Write(RawPeer::Header(kMaxMessageBytes + 1, 1, kRequest) +
             std::string(kMaxMessageBytes + 1, 'x'));
  const auto [answered, response] = peer.Read();
  EXPECT_EQ(answered, 1u);
  EXPECT_THAT(response, StatusIs(absl::StatusCode::kResourceExhausted,
                                 "message length 4194305 exceed maximum message size of 4194304"));
  Request largest{.service = "test.Test", .method = "Nothing"};
  const size_t rest = EncodeRequestFrame(3, largest)->size() - kHeaderBytes;
  largest.payload = std::string(kMaxMessageBytes - rest - 5, 'x');
  const std::string frame = EncodeRequestFrame(3, largest).value();
  ASSERT_EQ(frame.size(), kHeaderBytes + kMaxMessageBytes);
  peer.Write(frame);
  EXPECT_THAT(peer.Read().second, StatusIs(absl::StatusCode::kUnimplemented));
  peer.ExpectEcho(5);
}

TEST_F(TtrpcTest, RequestFlagsAreNotNeeded) {
  RawPeer peer(path_);
  std::string frame =
      *EncodeRequestFrame(1, {.service = "test.Test", .method = "Echo", .payload = "p"});
  frame[9] = 2;
  peer.Write(frame);
  EXPECT_EQ(peer.Read().second.value(), "p");
}

TEST_F(TtrpcTest, OtherUsersAreDisconnected) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  std::filesystem::permissions(directory_, std::filesystem::perms::all);
  std::filesystem::permissions(path_, std::filesystem::perms::all);
  for (const auto& [uid, gid] : std::vector<std::pair<uid_t, gid_t>>{{65534, 0}, {0, 65534}}) {
    // A process of its own: credentials belong to whole processes.
    const pid_t child = fork();
    if (child == 0) {
      if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) _exit(2);
      RawPeer peer(path_);
      _exit(peer.Read().first == 0 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << uid << ":" << gid;
  }
}

}  // namespace
}  // namespace ctrd::runtime::ttrpc
