// SPDX-License-Identifier: Apache-2.0

// Shims that are there but do not answer as shims do, and exits that nobody was told of. The shims
// are fakes.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/wire.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/testing/fake_shim_test_base.h"

namespace ctrd::runtime {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;

class QuarantineTest : public FakeShimTest {
 protected:
  void SetUp() override {
    timeouts_.shim_load = absl::Seconds(1);
    timeouts_.task_state = absl::Seconds(1);
    FakeShimTest::SetUp();
  }
  bool InQuarantine(int count) { return Metric("containerd_shims_in_quarantine") == count; }

  // The end of the process, as Wait tells it.
  std::future<absl::StatusOr<Exit>> Await(const std::string& id, const std::string& exec_id) {
    auto result = std::make_shared<std::promise<absl::StatusOr<Exit>>>();
    waits_.push_back(supervisor_->Wait(context_, id, exec_id, [result](absl::StatusOr<Exit> exit) {
      result->set_value(std::move(exit));
    }));
    return result->get_future();
  }
  void TearDown() override {
    waits_.clear();
    FakeShimTest::TearDown();
  }

  std::vector<std::unique_ptr<TaskRuntime::PendingWait>> waits_;
};

CTRD_FOR_BOTH_PROTOCOLS(QuarantineTest);

// Shims are given more time than any list may take.
class ListTest : public FakeShimTest {
 protected:
  void SetUp() override {
    timeouts_.shim_load = absl::Seconds(20);
    timeouts_.task_state = absl::Seconds(2);
    FakeShimTest::SetUp();
    ASSERT_THAT(Create("mute"), IsOk());
    ASSERT_THAT(Create("well"), IsOk());
  }
  // How long it takes to list only the one that answers, so many times.
  absl::Duration TimeOfLists(int count) {
    const absl::Time start = absl::Now();
    for (int i = 0; i < count; ++i) {
      const auto list = supervisor_->List(context_);
      EXPECT_THAT(list, IsOk());
      if (!list.ok() || list->size() != 1) ADD_FAILURE() << "list of " << list->size();
    }
    return absl::Now() - start;
  }
};

CTRD_FOR_BOTH_PROTOCOLS(ListTest);

TEST_P(ListTest, AMuteShimIsNotWaitedForAfterARestartWhenTheOthersHaveAnswered) {
  Shim("mute").Mute("State");
  Restart();
  EXPECT_LT(TimeOfLists(10), absl::Seconds(2));
  Shim("mute").On("State", nullptr);
  Shim("mute").AnswerKept();
  EXPECT_TRUE(Eventually([&] { return supervisor_->List(context_)->size() == 2; }));
}

// A list that waits for adoption needs no second answer. Whether it began in time is chance.
TEST_P(ListTest, WhatIsAdoptedWhileAListWaitsIsAskedOnce) {
  EXPECT_TRUE(Eventually([&] {
    const size_t before = Shim("well").calls("State");
    Open();
    auto list = std::async(std::launch::async, [&] { return supervisor_->List(context_); });
    std::this_thread::yield();
    supervisor_->Adopt();
    const auto states = list.get();
    return states.ok() && states->size() == 2 && Shim("well").calls("State") == before + 1;
  }));
}

TEST_P(ListTest, AShimThatFallsSilentKeepsOneListWaitingForLong) {
  Shim("mute").Mute("State");
  Shim("mute").Mute("Connect");
  EXPECT_LT(TimeOfLists(5), absl::Seconds(4));
}

TEST_P(QuarantineTest, AMuteShimIsFoundAgainWhenItAnswers) {
  ASSERT_THAT(Create("mute"), IsOk());
  ASSERT_THAT(Create("well"), IsOk());
  Shim("mute").Mute("State");
  Restart();
  auto waited = Await("mute", "");
  EXPECT_TRUE(Eventually([&] { return supervisor_->State(context_, "well", "").ok(); }));
  ASSERT_TRUE(Eventually([&] { return InQuarantine(1); }));
  EXPECT_THAT(supervisor_->State(context_, "mute", ""),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       "shim of task mute does not answer: context deadline exceeded"));
  EXPECT_THAT(supervisor_->Kill(context_, "mute", "", 9, false),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_OK_AND_ASSIGN(const auto list, supervisor_->List(context_));
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].id, "well");
  EXPECT_LE(Shim("mute").calls("State"), 2u);  // However often it was wanted.
  EXPECT_EQ(Shim("mute").calls("Wait"), 0u);

  Shim("mute").On("State", nullptr);
  Shim("mute").AnswerKept();
  ASSERT_TRUE(Eventually([&] { return InQuarantine(0); }));
  EXPECT_TRUE(Eventually([&] { return supervisor_->State(context_, "mute", "").ok(); }));
  EXPECT_EQ(Metric("containerd_shims_released_total"), 1);
  ASSERT_TRUE(Shim("mute").AwaitCalls("Wait", 1));
  Shim("mute").AnswerKept();
  EXPECT_THAT(waited.get(), IsOk());
  EXPECT_EQ(Shim("mute").deletes(), 0u);
  EXPECT_THAT(events_.Topics(), testing::IsEmpty());
}

TEST_P(QuarantineTest, AShimThatAnswersNonsenseIsKept) {
  ASSERT_THAT(Create("x"), IsOk());
  Shim("x").On("State", [](const ttrpc::Call&, ttrpc::Responder responder) {
    responder.Reply(std::string("\xff\xff\xff"));
  });
  Restart();
  ASSERT_TRUE(Eventually([&] { return InQuarantine(1); }));
  EXPECT_THAT(supervisor_->State(context_, "x", ""),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("shim of task x does not answer what it is asked")));
  ASSERT_TRUE(Shim("x").AwaitCalls("State", 3));  // It is looked at again and again.
  EXPECT_EQ(Metric("containerd_shims_quarantined_total"), 1);
  Shim("x").On("State", nullptr);
  EXPECT_TRUE(Eventually([&] { return supervisor_->State(context_, "x", "").ok(); }));
  EXPECT_EQ(Shim("x").deletes(), 0u);
}

TEST_P(QuarantineTest, AShimThatDiesInQuarantineIsBuried) {
  ASSERT_THAT(Create("x"), IsOk());
  Shim("x").Mute("State");
  Restart();
  ASSERT_TRUE(Eventually([&] { return InQuarantine(1); }));
  auto waited = Await("x", "");
  Shim("x").Stop();
  EXPECT_THAT(waited.get(), StatusIs(absl::StatusCode::kUnknown, "ttrpc: closed"));
  EXPECT_TRUE(events_.Await("/tasks/delete"));
  EXPECT_TRUE(Eventually([&] { return Left().empty(); }));
  EXPECT_THAT(supervisor_->State(context_, "x", ""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(InQuarantine(0));
}

TEST_P(QuarantineTest, AShimThatFallsSilentIsFoundOut) {
  ASSERT_THAT(Create("x"), IsOk());
  Shim("x").Mute("State");
  EXPECT_THAT(supervisor_->State(context_, "x", ""), StatusIs(absl::StatusCode::kDeadlineExceeded));
  // It answers something: the process is busy, the shim is not mute.
  ASSERT_TRUE(Shim("x").AwaitCalls("Connect", 1));
  EXPECT_THAT(supervisor_->Kill(context_, "x", "", 9, false), IsOk());
  EXPECT_TRUE(InQuarantine(0));

  Shim("x").Mute("Connect");
  EXPECT_TRUE(Eventually([&] {
    (void)supervisor_->State(context_, "x", "");
    return InQuarantine(1);
  }));
  Shim("x").On("State", nullptr);
  Shim("x").AnswerKept();
  EXPECT_TRUE(Eventually([&] { return supervisor_->State(context_, "x", "").ok(); }));
}

TEST_P(QuarantineTest, ABrokenConnectionIsNotADeadShim) {
  ASSERT_THAT(Create("x"), IsOk());
  auto waited = Await("x", "");
  ASSERT_TRUE(Shim("x").AwaitCalls("Wait", 1));
  Shim("x").DropConnections();
  ASSERT_TRUE(Shim("x").AwaitCalls("Wait", 2));
  EXPECT_TRUE(Eventually([&] { return supervisor_->State(context_, "x", "").ok(); }));
  Shim("x").AnswerKept();
  EXPECT_THAT(waited.get(), IsOk());
  EXPECT_EQ(Shim("x").deletes(), 0u);
  EXPECT_THAT(events_.Topics(), testing::IsEmpty());
}

// Accepts connections and hangs up on each, when it has been told something or at once.
class HangingUp {
 public:
  HangingUp(const std::string& path, bool at_once) : at_once_(at_once) {
    (void)::unlink(path.c_str());
    auto listener = ttrpc::ListenUnix(path);
    EXPECT_THAT(listener, IsOk());
    listener_ = *std::move(listener);
    thread_ = std::thread([this] { Serve(); });
  }
  ~HangingUp() {
    stopping_ = true;
    (void)::shutdown(listener_.get(), SHUT_RDWR);  // Wakes it up.
    thread_.join();
  }
  size_t connections() const { return connections_; }

 private:
  void Serve() {
    while (!stopping_) {
      pollfd waiting{.fd = listener_.get(), .events = POLLIN, .revents = 0};
      (void)::poll(&waiting, 1, -1);
      const base::UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) continue;
      char byte;
      if (!at_once_) (void)!::read(connection.get(), &byte, 1);
      ++connections_;
    }
  }

  const bool at_once_;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> connections_ = 0;
  base::UniqueFd listener_;
  std::thread thread_;
};

TEST_P(QuarantineTest, WhoHangsUpIsLookedAtWithPauses) {
  constexpr size_t kEnough = 12;  // Some are of looks that were due.
  for (const bool at_once : {false, true}) {
    const std::string id = at_once ? "refuses" : "hangs-up";
    ASSERT_THAT(Create(id), IsOk());
    supervisor_.reset();
    Shim(id).Stop();
    {
      const HangingUp shim(Shim(id).socket(), at_once);
      Restart();
      ASSERT_TRUE(Eventually([&] { return shim.connections() >= kEnough; }));
      EXPECT_EQ(Metric("containerd_shims_quarantined_total"), 1) << id;
      EXPECT_TRUE(Eventually([&] { return InQuarantine(1); })) << id;
      supervisor_.reset();
    }
    Restart();
    EXPECT_TRUE(Eventually([&] { return Left().empty(); }));
  }
}

TEST_P(QuarantineTest, ManyDeadShimsDoNotHoldUpTheLiving) {
  timeouts_.shim_cleanup = absl::Seconds(60);
  const std::string fifo = dir_ + "/hold";
  for (int i = 0; i < 12; ++i) ASSERT_THAT(Create(fmt::format("a{}", i)), IsOk());
  ASSERT_THAT(Create("z"), IsOk());
  supervisor_.reset();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (int i = 0; i < 12; ++i) {
    // Their `delete` waits until the test lets it go.
    FakeShim& shim = Shim(fmt::format("a{}", i));
    shim.Stop();
    EXPECT_THAT(base::WriteFileAtomically(shim.binary(), "#!/bin/sh\nread x < " + fifo, 0755),
                IsOk());
  }
  Restart();
  EXPECT_TRUE(Eventually([&] { return supervisor_->State(context_, "z", "").ok(); }));
  EXPECT_TRUE(Eventually([&] { return Metric("containerd_shims_died_total") > 0; }));
  EXPECT_FALSE(supervisor_->WaitAdopted(absl::Now()));  // They are still being cleared away.
  ASSERT_OK_AND_ASSIGN(const base::UniqueFd release, base::Open(fifo, O_RDWR));
  ASSERT_THAT(base::WriteAll(release.get(), std::string(1000, '\n'), fifo), IsOk());
  EXPECT_TRUE(supervisor_->WaitAdopted(absl::Now() + absl::Seconds(20)));
  EXPECT_THAT(supervisor_->List(context_)->size(), 1u);
}

// ---- Exits.

constexpr int64_t kExitSecond = 1700000000;

void WriteExit(const std::string& path, uint32_t pid, uint32_t status) {
  ASSERT_THAT(
      base::WriteFileAtomically(
          path,
          EncodeDelete({.pid = pid, .status = status, .at = absl::FromUnixSeconds(kExitSecond)}),
          0600),
      IsOk());
}

struct Told {
  std::string process;
  uint32_t pid = 0, status = 0;
  bool operator==(const Told&) const = default;
};

Told ToldBy(const base::Event& event) {
  Told told;
  base::WireReader reader(event.payload.value);
  while (const auto field = reader.Next()) {
    if (field->number == 2) told.process = field->bytes;
    if (field->number == 3) told.pid = static_cast<uint32_t>(field->varint);
    if (field->number == 4) told.status = static_cast<uint32_t>(field->varint);
    if (field->number == 5) {
      EXPECT_EQ(base::ReadWireTime(field->bytes), absl::FromUnixSeconds(kExitSecond));
    }
  }
  return told;
}

TEST_P(QuarantineTest, MissedExitsAreToldOnceExecsFirst) {
  ASSERT_THAT(Create("x"), IsOk());
  supervisor_.reset();
  WriteExit(Bundle("x") + "/e1.exit", 7, 3);
  WriteExit(Bundle("x") + "/exit", 4711, 137);
  ASSERT_THAT(base::WriteFileAtomically(Bundle("x") + "/init.pid", "4711", 0600), IsOk());
  ASSERT_THAT(base::WriteFileAtomically(Bundle("x") + "/e2.pid", "8", 0600), IsOk());
  Shim("x").On("State", [](const ttrpc::Call& call, ttrpc::Responder responder) {
    v3::StateRequest request;
    EXPECT_TRUE(request.ParseFromString(call.payload));
    v3::StateResponse state;
    state.set_id("x");
    state.set_exec_id(request.exec_id());
    state.set_pid(request.exec_id().empty() ? 4711 : 8);
    state.set_exit_status(request.exec_id().empty() ? 137 : 4);
    state.set_status(containerd::v1::types::STOPPED);
    state.mutable_exited_at()->set_seconds(kExitSecond);
    responder.Reply(state.SerializeAsString());
  });
  for (int restart = 0; restart < 2; ++restart) {
    Restart();
    ASSERT_TRUE(supervisor_->WaitAdopted(absl::Now() + absl::Seconds(20)));
    const std::vector<base::Event> events = events_.All();
    ASSERT_EQ(events.size(), 3u);
    EXPECT_EQ(ToldBy(events[0]), (Told{"e1", 7, 3}));
    EXPECT_EQ(ToldBy(events[1]), (Told{"e2", 8, 4}));
    EXPECT_EQ(ToldBy(events[2]), (Told{"x", 4711, 137}));
  }
  // The shim did not hear that its event had arrived, and sends it once more.
  const base::Event last = events_.All()[2];
  EXPECT_THAT(supervisor_->forwarded_events().Publish(last), IsOk());
  EXPECT_EQ(events_.All().size(), 3u);
  // A later exec of the same name is another exit.
  base::Event other = last;
  other.payload.value = base::WireWriter().Bytes(1, "x").Bytes(2, "e1").Varint(3, 9).Take();
  EXPECT_THAT(supervisor_->forwarded_events().Publish(other), IsOk());
  EXPECT_EQ(events_.All().size(), 4u);
}

}  // namespace
}  // namespace ctrd::runtime
