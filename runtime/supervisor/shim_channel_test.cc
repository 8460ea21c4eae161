// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "runtime/supervisor/testing/grpc_bridge.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime {
namespace {

using base::IsOk;
using base::StatusIs;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// A shim of one service "test.Test", over the protocol that is the parameter. Echo answers its
// payload, Namespace the caller's namespace, Fail with an error, Hold never.
class ShimChannelTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-channel-"));
    ASSERT_OK_AND_ASSIGN(shim_thread_, base::EventLoopThread::Create());
    ASSERT_OK_AND_ASSIGN(thread_, base::EventLoopThread::Create());
    ASSERT_OK_AND_ASSIGN(base::UniqueFd listener, ttrpc::ListenUnix(dir_ + "/ttrpc"));
    OnShim([&] {
      server_ = std::make_unique<ttrpc::Server>(shim_thread_->loop());
      server_->AddService("test.Test", Service());
      ASSERT_THAT(server_->Listen(std::move(listener)), IsOk());
    });
    if (OverGrpc()) {
      ASSERT_OK_AND_ASSIGN(inner_,
                           ttrpc::Client::Connect(shim_thread_->loop(), dir_ + "/ttrpc", Soon()));
      ASSERT_OK_AND_ASSIGN(base::UniqueFd outer, ttrpc::ListenUnix(dir_ + "/grpc"));
      bridge_ = std::make_unique<GrpcBridge>(inner_.get(), std::move(outer));
    }
    ASSERT_OK_AND_ASSIGN(channel_, ShimChannel::Connect(thread_->loop(), Endpoint(), Soon()));
  }
  void TearDown() override {
    channel_.reset();
    StopShim();
    thread_.reset();
    shim_thread_.reset();
    EXPECT_THAT(base::RemoveTree(dir_), IsOk());
  }

  bool OverGrpc() const { return GetParam() == std::string_view("grpc"); }
  ShimEndpoint Endpoint() const {
    return {3, OverGrpc() ? dir_ + "/grpc" : "unix://" + dir_ + "/ttrpc", GetParam()};
  }
  ttrpc::Service Service() {
    using ttrpc::Call;
    using ttrpc::Responder;
    return {{"Echo", [](const Call& call, Responder r) { r.Reply(call.payload); }},
            {"Namespace",
             [](const Call& call, Responder r) {
               r.Reply(std::string(ttrpc::FirstValue(call.metadata, ttrpc::kNamespaceKey)));
             }},
            {"Fail", [](const Call&, Responder r) { r.Reply(base::NotFound("thing")); }},
            {"Hold", [this](const Call&, Responder r) {
               const std::scoped_lock lock(mutex_);
               held_.push_back(std::move(r));
               changed_.notify_all();
             }}};
  }
  void AwaitHeld(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_.size() >= count; });
  }
  void OnShim(const std::function<void()>& task) {
    std::promise<void> done;
    shim_thread_->loop()->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  // As when its process ends.
  void StopShim() {
    bridge_.reset();
    OnShim([this] {
      server_.reset();
      held_.clear();
    });
    inner_.reset();
  }

  static ShimCall To(std::string method, std::string payload = "") {
    return {.service = "test.Test",
            .method = std::move(method),
            .payload = std::move(payload),
            .namespace_name = "ns"};
  }
  std::future<absl::StatusOr<std::string>> Call(std::string method,
                                                absl::Time deadline = absl::InfiniteFuture()) {
    auto answer = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    channel_->Call(To(std::move(method)), deadline, [this, answer](auto result) {
      EXPECT_TRUE(thread_->loop()->InLoopThread());
      answer->set_value(std::move(result));
    });
    return answer->get_future();
  }

  std::string dir_;
  std::unique_ptr<base::EventLoopThread> shim_thread_, thread_;
  std::unique_ptr<ttrpc::Server> server_;
  std::unique_ptr<ttrpc::Client> inner_;
  std::unique_ptr<GrpcBridge> bridge_;
  std::unique_ptr<ShimChannel> channel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ttrpc::Responder> held_;
};

INSTANTIATE_TEST_SUITE_P(Protocols, ShimChannelTest, testing::Values("ttrpc", "grpc"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(ShimChannelTest, AnswersErrorsAndTheNamespacePass) {
  EXPECT_EQ(channel_->CallAndWait(To("Echo", "hello"), Soon()).value(), "hello");
  EXPECT_EQ(channel_->CallAndWait(To("Echo"), absl::InfiniteFuture()).value(), "");
  EXPECT_EQ(channel_->CallAndWait(To("Namespace"), Soon()).value(), "ns");
  EXPECT_THAT(channel_->CallAndWait(To("Fail"), Soon()),
              StatusIs(absl::StatusCode::kNotFound, "thing: not found"));
  EXPECT_THAT(channel_->CallAndWait(To("Nothing"), Soon()),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_FALSE(channel_->closed());
}

TEST_P(ShimChannelTest, AWaitingCallDelaysNoOther) {
  auto held = Call("Hold");
  AwaitHeld(1);
  EXPECT_EQ(channel_->CallAndWait(To("Echo", "first"), Soon()).value(), "first");
  OnShim([this] { held_[0].Reply(std::string("late")); });
  EXPECT_EQ(held.get().value(), "late");
}

TEST_P(ShimChannelTest, ACallEndsWithItsDeadlineAndTheNextWorks) {
  EXPECT_THAT(channel_->CallAndWait(To("Hold"), absl::Now() + absl::Milliseconds(30)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "context deadline exceeded"));
  EXPECT_THAT(Call("Hold", absl::Now() - absl::Seconds(1)).get(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(channel_->CallAndWait(To("Echo", "next"), Soon()).value(), "next");
}

TEST_P(ShimChannelTest, ALostConnectionEndsCallsThenTellsTheOwner) {
  std::atomic<int> ended = 0;
  std::promise<int> at_close;
  channel_->OnClose([&] { at_close.set_value(ended); });
  for (int i = 0; i < 3; ++i) {
    channel_->Call(To("Hold"), absl::InfiniteFuture(), [&](const auto& answer) {
      EXPECT_TRUE(ttrpc::IsClosedError(answer.status())) << answer.status();
      EXPECT_TRUE(channel_->closed());
      ++ended;
    });
  }
  AwaitHeld(3);
  StopShim();
  EXPECT_EQ(at_close.get_future().get(), 3);
  EXPECT_TRUE(ttrpc::IsClosedError(channel_->CallAndWait(To("Echo"), Soon()).status()));
  std::promise<void> again;
  channel_->OnClose([&] { again.set_value(); });
  again.get_future().wait();
}

TEST_P(ShimChannelTest, AnIdleConnectionThatIsLostIsNoticed) {
  std::promise<void> closed;
  channel_->OnClose([&] { closed.set_value(); });
  StopShim();
  closed.get_future().wait();
  EXPECT_TRUE(channel_->closed());
}

TEST_P(ShimChannelTest, ItNeverConnectsToAnotherShimOfThatAddress) {
  StopShim();
  const std::string path = dir_ + (OverGrpc() ? "/grpc" : "/ttrpc");
  ASSERT_EQ(::unlink(path.c_str()), 0);
  ASSERT_OK_AND_ASSIGN(base::UniqueFd listener, ttrpc::ListenUnix(path));
  EXPECT_TRUE(ttrpc::IsClosedError(channel_->CallAndWait(To("Echo"), Soon()).status()));
  // Nobody came.
  EXPECT_LT(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK), 0);
}

TEST_P(ShimChannelTest, CloseEndsCalls) {
  std::promise<void> closed;
  channel_->OnClose([&] { closed.set_value(); });
  auto held = Call("Hold");
  AwaitHeld(1);
  channel_->Close();
  EXPECT_TRUE(ttrpc::IsClosedError(held.get().status()));
  closed.get_future().wait();
  EXPECT_TRUE(ttrpc::IsClosedError(Call("Echo").get().status()));
}

TEST_P(ShimChannelTest, AChannelMayGoWithCallsThatRun) {
  auto held = Call("Hold");
  AwaitHeld(1);
  channel_.reset();
  EXPECT_TRUE(ttrpc::IsClosedError(held.get().status()));
}

TEST_P(ShimChannelTest, ManyThreadsShareIt) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string text = std::to_string(t * 1000 + i);
        EXPECT_EQ(channel_->CallAndWait(To("Echo", text), Soon()).value(), text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(ShimChannelTest, NobodyThereIsToldAtOnce) {
  ShimEndpoint nowhere = Endpoint();
  nowhere.address += "-not";
  EXPECT_THAT(ShimChannel::Connect(thread_->loop(), nowhere, Soon()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ShimChannelTest, APeerThatSpeaksSomethingElseEndsTheCall) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  const base::UniqueFd peer(ends[0]);
  const auto channel = OverGrpc() ? AdoptGrpc(thread_->loop(), base::UniqueFd(ends[1]))
                                  : AdoptTtrpc(thread_->loop(), base::UniqueFd(ends[1]));
  const std::string_view garbage = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
  ASSERT_EQ(::send(peer.get(), garbage.data(), garbage.size(), 0),
            static_cast<ssize_t>(garbage.size()));
  EXPECT_THAT(channel->CallAndWait(To("Echo"), Soon()), testing::Not(IsOk()));
}

TEST_P(ShimChannelTest, APeerThatIsMuteEndsTheCallWithItsDeadline) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  const base::UniqueFd peer(ends[0]);
  const auto channel = OverGrpc() ? AdoptGrpc(thread_->loop(), base::UniqueFd(ends[1]))
                                  : AdoptTtrpc(thread_->loop(), base::UniqueFd(ends[1]));
  EXPECT_THAT(channel->CallAndWait(To("Echo"), absl::Now() + absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace ctrd::runtime
