// SPDX-License-Identifier: Apache-2.0
#include "daemon/events/exchange.h"

#include <algorithm>
#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "base/time.h"

namespace ctrd::events {
namespace {

using base::IsOk;
using base::StatusIs;

base::Event MakeEvent(std::string topic, std::string value = "") {
  return {.timestamp = absl::Now(),
          .namespace_name = "default",
          .topic = std::move(topic),
          .payload = {.type_url = "test.Message", .value = std::move(value)}};
}

base::Filter FilterOf(const std::string& text) {
  auto filter = base::Filter::Parse(std::vector<std::string>{text});
  EXPECT_THAT(filter, IsOk());
  return *std::move(filter);
}

std::vector<std::string> Drain(Subscription& subscription) {
  std::vector<std::string> topics;
  for (;;) {
    auto next = subscription.Next();
    EXPECT_THAT(next, IsOk());
    if (!next.ok() || *next == nullptr) return topics;
    topics.push_back((*next)->event.topic);
  }
}

TEST(ExchangeTest, RefusesBadTopicsWithTheTextsClientsKnow) {
  Exchange exchange;
  const auto message = [&](std::string topic) {
    const absl::Status status = exchange.Publish(MakeEvent(std::move(topic)));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return base::MessageOf(status);
  };
  EXPECT_EQ(message(""), "envelope topic \"\": must not be empty: invalid argument");
  EXPECT_EQ(message("x"), "envelope topic \"x\": must start with '/': invalid argument");
  EXPECT_EQ(message("/"),
            "envelope topic \"/\": must have at least one component: invalid argument");
  EXPECT_THAT(message("/a/b-"),
              testing::StartsWith("envelope topic \"/a/b-\": failed validation on "
                                  "component \"b-\": identifier "));
  EXPECT_THAT(message("/a//b"), testing::HasSubstr("component \"\""));
  EXPECT_THAT(message("/a/"), testing::HasSubstr("component \"\""));
}

TEST(ExchangeTest, ChecksNamespaceThenTopicThenTime) {
  Exchange exchange;
  base::Event event = MakeEvent("bad");
  event.namespace_name = "a b";
  event.timestamp = base::ZeroTime();
  EXPECT_THAT(exchange.Publish(event),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::StartsWith("event envelope has invalid namespace: identifier ")));
  event.namespace_name = "default";
  EXPECT_THAT(exchange.Publish(event),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::StartsWith("envelope topic")));
  event.topic = "/a";
  EXPECT_THAT(exchange.Publish(event),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "timestamp must be set on forwarded event: invalid argument"));
  event.timestamp = absl::UnixEpoch();
  EXPECT_THAT(exchange.Publish(event), IsOk());
}

TEST(ExchangeTest, SubscriberSeesWhatItsFilterLetsThroughInOrder) {
  Exchange exchange;
  int calls = 0;
  auto all = exchange.Subscribe({}, nullptr, [&] { ++calls; });
  auto tasks =
      exchange.Subscribe(FilterOf("topic~=|^/tasks/|,namespace==default"), nullptr, nullptr);
  auto field = exchange.Subscribe(
      FilterOf("event.id==c1"),
      [](const base::Any& payload, const base::FieldPath& path) -> std::optional<std::string> {
        if (path != base::FieldPath{"id"}) return std::nullopt;
        return payload.value;
      },
      nullptr);
  ASSERT_THAT(exchange.Publish(MakeEvent("/tasks/create", "c1")), IsOk());
  ASSERT_THAT(exchange.Publish(MakeEvent("/images/create")), IsOk());
  ASSERT_THAT(exchange.Publish(MakeEvent("/tasks/exit", "c2")), IsOk());
  EXPECT_THAT(Drain(*all), testing::ElementsAre("/tasks/create", "/images/create", "/tasks/exit"));
  EXPECT_THAT(Drain(*tasks), testing::ElementsAre("/tasks/create", "/tasks/exit"));
  EXPECT_THAT(Drain(*field), testing::ElementsAre("/tasks/create"));
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(exchange.last_sequence(), 3u);
}

TEST(ExchangeTest, SlowSubscriberIsEndedAndOthersGoOn) {
  Exchange exchange({.events = 2, .bytes = 1 << 20});
  auto slow = exchange.Subscribe({}, nullptr, nullptr);
  auto quick = exchange.Subscribe({}, nullptr, nullptr);
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(exchange.Publish(MakeEvent("/a")), IsOk());
    EXPECT_THAT(Drain(*quick), testing::ElementsAre("/a"));
  }
  EXPECT_THAT(slow->Next(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ExchangeTest, ConcurrentPublishersGiveEverySubscriberTheSameOrder) {
  Exchange exchange;
  auto first = exchange.Subscribe({}, nullptr, nullptr);
  auto second = exchange.Subscribe({}, nullptr, nullptr);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&exchange, t] {
      for (int i = 0; i < 200; ++i) {
        (void)exchange.Publish(MakeEvent(fmt::format("/t{}/n{}", t, i)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto seen = Drain(*first);
  EXPECT_EQ(seen.size(), 800u);
  EXPECT_EQ(seen, Drain(*second));
}

TEST(ExchangeTest, DroppedSubscriptionIsToldNothing) {
  Exchange exchange;
  int calls = 0;
  auto subscription = exchange.Subscribe({}, nullptr, [&] { ++calls; });
  subscription.reset();
  ASSERT_THAT(exchange.Publish(MakeEvent("/a")), IsOk());
  EXPECT_EQ(calls, 0);
}

// ---- With a log.

class ReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-exchange-"));
    Open({});
  }
  void TearDown() override {
    exchange_.reset();
    EXPECT_THAT(base::RemoveTree(dir_), IsOk());
  }
  void Open(const LogLimits& limits) {
    exchange_.reset();
    auto log = EventLog::Open(dir_, limits);
    ASSERT_THAT(log, IsOk());
    exchange_ = std::make_unique<Exchange>(QueueLimits{.events = 4}, *std::move(log));
  }
  static std::vector<std::string> Rest(Replay& replay) {
    std::vector<std::string> topics;
    while (true) {
      const auto item = replay.Next();
      EXPECT_THAT(item, IsOk());
      if (!item.ok() || std::holds_alternative<EventLog::End>(*item)) return topics;
      const auto* record = std::get_if<std::shared_ptr<const Record>>(&*item);
      topics.push_back(record == nullptr ? "gap" : (*record)->event.topic);
    }
  }

  std::string dir_;
  std::unique_ptr<Exchange> exchange_;
};

TEST_F(ReplayTest, WhatAnEarlierDaemonAcceptedComesBeforeWhatThisOneDoes) {
  ASSERT_THAT(exchange_->Publish(MakeEvent("/a")), IsOk());
  ASSERT_THAT(exchange_->Publish(MakeEvent("/b")), IsOk());
  Open({});
  EXPECT_EQ(exchange_->last_sequence(), 2u);
  int rung = 0;
  const auto replay = exchange_->ReadAfter(1, {}, nullptr, [&] { ++rung; });
  ASSERT_THAT(exchange_->Publish(MakeEvent("/c")), IsOk());
  EXPECT_EQ(rung, 1);
  EXPECT_THAT(Rest(*replay), testing::ElementsAre("/b", "/c"));
  EXPECT_EQ(replay->position(), 3u);
  ASSERT_THAT(exchange_->Publish(MakeEvent("/d")), IsOk());
  EXPECT_THAT(Rest(*replay), testing::ElementsAre("/d"));
}

TEST_F(ReplayTest, ASlowReaderMissesNothingThatIsKept) {
  const auto replay = exchange_->ReadAfter(0, FilterOf("topic==\"/odd\""), nullptr, [] {});
  for (int i = 0; i < 500; ++i) {
    ASSERT_THAT(exchange_->Publish(MakeEvent(i % 2 == 0 ? "/even" : "/odd")), IsOk());
  }
  EXPECT_EQ(Rest(*replay).size(), 250u);
}

TEST_F(ReplayTest, AReaderThatIsGoneIsNotCalled) {
  bool called = false;
  exchange_->ReadAfter(0, {}, nullptr, [&] { called = true; }).reset();
  ASSERT_THAT(exchange_->Publish(MakeEvent("/a")), IsOk());
  EXPECT_FALSE(called);
}

TEST_F(ReplayTest, WritersAndReadersAtOnceSeeOneOrder) {
  Open({.events = 1 << 20, .bytes = 64 << 20, .segment_bytes = 4096});
  constexpr int kWriters = 4, kEach = 500;
  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      for (int i = 0; i < kEach; ++i) {
        EXPECT_THAT(exchange_->Publish(MakeEvent(fmt::format("/{}/{}", writer, i))), IsOk());
      }
    });
  }
  std::vector<std::vector<std::string>> seen(2);
  for (auto& topics : seen) {
    threads.emplace_back([&] {
      const auto replay = exchange_->ReadAfter(0, {}, nullptr, [] {});
      while (topics.size() < kWriters * kEach) {
        for (std::string& topic : Rest(*replay)) topics.push_back(std::move(topic));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(std::count(seen[0].begin(), seen[0].end(), "gap"), 0);
}

}  // namespace
}  // namespace ctrd::events
