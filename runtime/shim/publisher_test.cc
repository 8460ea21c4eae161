// SPDX-License-Identifier: Apache-2.0

// Against a daemon of a few lines on the same loop, which comes, goes and refuses as it is told.
#include "runtime/shim/publisher.h"

#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "base/wire.h"
#include "gtest/gtest.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {
namespace {

using base::IsOk;

constexpr PublisherLimits kQuick{.most_queued = 4,
                                 .most_refusals = 3,
                                 .first_pause = absl::Milliseconds(1),
                                 .longest_pause = absl::Milliseconds(4)};

class PublisherTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory(testing::TempDir(), "publisher"));
    ASSERT_OK_AND_ASSIGN(loop_, base::EventLoop::Create());
  }
  void TearDown() override {
    server_.reset();
    EXPECT_THAT(base::RemoveTree(directory_), IsOk());
  }
  std::string Address() const { return directory_ + "/daemon"; }

  void StartDaemon() {
    server_ = std::make_unique<ttrpc::Server>(loop_.get());
    server_->AddService("containerd.services.events.ttrpc.v1.Events",
                        {{"Forward", [this](const ttrpc::Call& call, ttrpc::Responder responder) {
                            const std::string value = ValueOf(call.payload);
                            if (value == refused_) {
                              ++refusals_;
                              return responder.Reply(absl::InvalidArgumentError("not wanted"));
                            }
                            taken_.push_back(value);
                            responder.Reply(std::string());
                          }}});
    ASSERT_OK_AND_ASSIGN(base::UniqueFd listener, ttrpc::ListenUnix(Address()));
    ASSERT_THAT(server_->Listen(std::move(listener)), IsOk());
  }
  void StopDaemon() {
    server_.reset();
    ASSERT_EQ(::unlink(Address().c_str()), 0);
  }
  // The value of the event in a ForwardRequest.
  static std::string ValueOf(std::string_view request) {
    base::WireReader outer(request);
    const auto envelope = outer.Next();
    base::WireReader reader(envelope ? envelope->bytes : std::string_view());
    while (const auto field = reader.Next()) {
      if (field->number == 4) return base::ReadWireAny(field->bytes).value;
    }
    return "";
  }
  void Flush(Publisher& publisher) {
    publisher.Flush([this] { loop_->Stop(); });
    loop_->Run();
  }

  std::string directory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<ttrpc::Server> server_;
  std::vector<std::string> taken_;
  std::string refused_ = "never";
  int refusals_ = 0;
};

TEST_F(PublisherTest, EventsWaitForADaemonThatIsAwayAndKeepTheirOrder) {
  Publisher publisher(loop_.get(), Address(), "ns", kQuick);
  for (const char* value : {"1", "2", "3"}) publisher.Publish("/tasks/create", "t", value);
  // Many more tries than an event that is refused would get.
  int turns = 0;
  std::function<void()> turn = [&] {
    if (++turns == 20) return StartDaemon();
    loop_->After(absl::Milliseconds(2), turn);
  };
  turn();
  Flush(publisher);
  EXPECT_EQ(taken_, (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(PublisherTest, ARestartedDaemonGetsTheNextEvent) {
  StartDaemon();
  Publisher publisher(loop_.get(), Address(), "ns", kQuick);
  publisher.Publish("/tasks/create", "t", "1");
  Flush(publisher);
  StopDaemon();
  StartDaemon();
  publisher.Publish("/tasks/start", "t", "2");
  Flush(publisher);
  EXPECT_EQ(taken_, (std::vector<std::string>{"1", "2"}));
}

TEST_F(PublisherTest, APauseEndsWhenTheDaemonIsHeardOf) {
  PublisherLimits never_again = kQuick;
  never_again.first_pause = never_again.longest_pause = absl::Hours(1);
  Publisher publisher(loop_.get(), Address(), "ns", never_again);
  publisher.Publish("/tasks/exit", "t", "1");
  StartDaemon();
  publisher.DaemonIsThere();
  Flush(publisher);
  EXPECT_EQ(taken_, (std::vector<std::string>{"1"}));
}

TEST_F(PublisherTest, AnEventThatIsRefusedDoesNotHoldUpTheOthers) {
  StartDaemon();
  refused_ = "bad";
  Publisher publisher(loop_.get(), Address(), "ns", kQuick);
  publisher.Publish("/tasks/create", "t", "bad");
  publisher.Publish("/tasks/create", "t", "good");
  Flush(publisher);
  EXPECT_EQ(refusals_, kQuick.most_refusals);
  EXPECT_EQ(taken_, (std::vector<std::string>{"good"}));
}

TEST_F(PublisherTest, AFullQueueLosesExitsLast) {
  Publisher publisher(loop_.get(), Address(), "ns", kQuick);
  publisher.Publish("/tasks/create", "t", "first");  // It is being tried.
  publisher.Publish("/tasks/exit", "t", "exit 1");
  publisher.Publish("/tasks/exec-added", "t", "added");
  publisher.Publish("/tasks/exit", "t", "exit 2");
  publisher.Publish("/tasks/exec-started", "t", "started");
  publisher.Publish("/tasks/exit", "t", "exit 3");
  EXPECT_EQ(publisher.queued(), kQuick.most_queued);
  StartDaemon();
  Flush(publisher);
  EXPECT_EQ(taken_, (std::vector<std::string>{"first", "exit 1", "exit 2", "exit 3"}));
}

TEST_F(PublisherTest, OfNothingButExitsTheOldestGoes) {
  Publisher publisher(loop_.get(), Address(), "ns", kQuick);
  for (const char* value : {"1", "2", "3", "4", "5"}) publisher.Publish("/tasks/exit", "t", value);
  StartDaemon();
  Flush(publisher);
  EXPECT_EQ(taken_, (std::vector<std::string>{"1", "3", "4", "5"}));
}

}  // namespace
}  // namespace ctrd::runtime::shim
