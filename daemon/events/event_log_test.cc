// SPDX-License-Identifier: Apache-2.0
#include "daemon/events/event_log.h"

#include <sys/stat.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"

namespace ctrd::events {
namespace {

using base::IsOk;

class EventLogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-events-"));
  }
  void TearDown() override { EXPECT_THAT(base::RemoveTree(dir_), IsOk()); }

  void Open(const LogLimits& limits = {}) {
    log_.reset();
    auto log = EventLog::Open(dir_ + "/log", limits);
    ASSERT_THAT(log, IsOk());
    log_ = *std::move(log);
  }
  // As a daemon that was killed leaves it.
  void Crash(const LogLimits& limits = {}) {
    ASSERT_OK_AND_ASSIGN(const std::string open, base::ReadFile(dir_ + "/log/open"));
    log_.reset();
    ASSERT_THAT(base::WriteFileAtomically(dir_ + "/log/open", open, 0600), IsOk());
    Open(limits);
  }

  static Record MakeRecord(uint64_t sequence, size_t size = 0) {
    return {.sequence = sequence,
            .event = {.timestamp = absl::FromUnixNanos(1700000000000000001),
                      .namespace_name = "default",
                      .topic = "/n/" + std::to_string(sequence),
                      .payload = {.type_url = "test.Message", .value = std::string(size, 'x')}}};
  }
  void Append(uint64_t from, uint64_t to, size_t size = 0) {
    for (uint64_t n = from; n <= to; ++n) ASSERT_THAT(log_->Append(MakeRecord(n, size)), IsOk());
  }
  // "1 2 -3 6": event 1, event 2, three are gone, event 6.
  static std::string Rest(EventLog::Reader& reader) {
    std::string text;
    while (true) {
      const auto item = reader.Next();
      EXPECT_THAT(item, IsOk());
      if (!item.ok() || std::holds_alternative<EventLog::End>(*item)) return text;
      if (!text.empty()) text += " ";
      if (const auto* gap = std::get_if<EventLog::Gap>(&*item)) {
        text += "-" + std::to_string(gap->events);
      } else {
        text += std::to_string(std::get<std::shared_ptr<const Record>>(*item)->sequence);
      }
    }
  }
  std::string ReadAfter(uint64_t after) { return Rest(*log_->ReadAfter(after)); }

  std::string dir_;
  std::unique_ptr<EventLog> log_;
};

TEST_F(EventLogTest, WhatWasAppendedIsReadAfterARestart) {
  Open();
  EXPECT_EQ(ReadAfter(0), "");
  Append(1, 3, 5);
  const std::string id = log_->id();
  Open();
  EXPECT_EQ(log_->id(), id);
  EXPECT_EQ(log_->last_sequence(), 3u);
  EXPECT_EQ(log_->oldest_sequence(), 1u);
  const auto reader = log_->ReadAfter(0);
  const auto item = reader->Next();
  ASSERT_THAT(item, IsOk());
  const Record& record = *std::get<std::shared_ptr<const Record>>(*item);
  const Record wanted = MakeRecord(1, 5);
  EXPECT_EQ(record.sequence, 1u);
  EXPECT_EQ(record.event.timestamp, wanted.event.timestamp);
  EXPECT_EQ(record.event.namespace_name, "default");
  EXPECT_EQ(record.event.topic, "/n/1");
  EXPECT_EQ(record.event.payload.type_url, "test.Message");
  EXPECT_EQ(record.event.payload.value, "xxxxx");
  EXPECT_EQ(Rest(*reader), "2 3");
  EXPECT_EQ(ReadAfter(2), "3");
  EXPECT_EQ(ReadAfter(3), "");
}

TEST_F(EventLogTest, AReaderGoesOnWithWhatIsAppended) {
  Open({.segment_bytes = 200});
  const auto reader = log_->ReadAfter(0);
  Append(1, 1);
  EXPECT_EQ(Rest(*reader), "1");
  Append(2, 9);
  EXPECT_EQ(Rest(*reader), "2 3 4 5 6 7 8 9");
  EXPECT_EQ(Rest(*reader), "");
  Append(10, 10);
  EXPECT_EQ(Rest(*reader), "10");
}

TEST_F(EventLogTest, TheOldestGoAndTheReaderIsToldHowMany) {
  const LogLimits limits = {.events = 1000, .bytes = 4000, .segment_bytes = 1000};
  Open(limits);
  const auto early = log_->ReadAfter(0);
  Append(1, 1);
  EXPECT_EQ(Rest(*early), "1");
  Append(2, 100, 100);
  EXPECT_GT(log_->oldest_sequence(), 2u);
  uint64_t bytes = 0;
  ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(dir_ + "/log"));
  for (const std::string& name : names) {
    struct stat info;
    ASSERT_EQ(::stat((dir_ + "/log/" + name).c_str(), &info), 0);
    if (name.ends_with(".log")) bytes += static_cast<uint64_t>(info.st_size);
  }
  EXPECT_LE(bytes, limits.bytes);
  const uint64_t oldest = log_->oldest_sequence();
  const std::string all = ReadAfter(0);
  EXPECT_THAT(all, testing::StartsWith(fmt::format("-{} {} ", oldest - 1, oldest)));
  EXPECT_THAT(all, testing::EndsWith(" 99 100"));
  // What the reader holds open it may still read; the rest is a gap.
  EXPECT_THAT(Rest(*early), testing::AllOf(testing::HasSubstr("-"), testing::EndsWith(" 100")));
}

TEST_F(EventLogTest, TheNumberOfEventsIsLimitedToo) {
  Open({.events = 64, .bytes = 1 << 20, .segment_bytes = 1 << 16});
  Append(1, 1000);
  EXPECT_GE(log_->oldest_sequence(), 1000u - 64);
  EXPECT_LE(log_->oldest_sequence(), 1000u - 32);
}

TEST_F(EventLogTest, ATornEndIsCutOff) {
  Open();
  Append(1, 3);
  const std::string segment = dir_ + "/log/0000000000000001.log";
  struct stat info;
  ASSERT_EQ(::stat(segment.c_str(), &info), 0);
  for (off_t cut = 1; cut < info.st_size / 3; cut += 3) {
    log_.reset();
    ASSERT_EQ(::truncate(segment.c_str(), info.st_size - cut), 0);
    Open();
    EXPECT_EQ(ReadAfter(0), "1 2") << cut;
    Append(3, 3);
    EXPECT_EQ(ReadAfter(0), "1 2 3") << cut;
  }
}

TEST_F(EventLogTest, ADamagedPlaceIsAGap) {
  Open({.segment_bytes = 200});
  Append(1, 20);
  ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(dir_ + "/log"));
  const std::string second = dir_ + "/log/" + names[1];
  ASSERT_OK_AND_ASSIGN(std::string bytes, base::ReadFile(second));
  bytes[20] = static_cast<char>(bytes[20] ^ 0x40);
  ASSERT_THAT(base::WriteFileAtomically(second, bytes, 0600), IsOk());
  const std::string read = ReadAfter(0);
  EXPECT_THAT(read, testing::StartsWith("1 "));
  EXPECT_THAT(read, testing::ContainsRegex(" -[1-9] "));
  EXPECT_THAT(read, testing::EndsWith(" 20"));
}

TEST_F(EventLogTest, NumbersGoOnAfterADeadDaemonAndJumpAfterADeadHost) {
  Open();
  Append(1, 2);
  Crash();
  EXPECT_EQ(log_->last_sequence(), 2u);
  Append(3, 3);
  log_.reset();
  // The host went down without a clean stop of the daemon, and event 3 with it.
  ASSERT_THAT(base::WriteFileAtomically(dir_ + "/log/open", "another boot", 0600), IsOk());
  Open();
  const uint64_t last = log_->last_sequence();
  EXPECT_GT(last, 1000u);
  EXPECT_EQ(log_->oldest_sequence(), 1u);
  Append(last + 1, last + 1);
  EXPECT_EQ(ReadAfter(0), fmt::format("1 2 3 -{} {}", last - 3, last + 1));
  Open();  // Clean.
  EXPECT_EQ(log_->last_sequence(), last + 1);
}

TEST_F(EventLogTest, WhatCannotBeKeptIsAGap) {
  Open({.segment_bytes = 1000});
  Append(1, 1);
  EXPECT_EQ(log_->Append(MakeRecord(2, 5000)).code(), absl::StatusCode::kResourceExhausted);
  Append(3, 3);
  EXPECT_EQ(ReadAfter(0), "1 -1 3");
  Open({.segment_bytes = 1000});
  EXPECT_EQ(ReadAfter(1), "-1 3");
}

TEST_F(EventLogTest, TheFormatIsThatOfTheDocument) {
  Open();
  ASSERT_THAT(log_->Append({.sequence = 1,
                            .event = {.timestamp = absl::FromUnixSeconds(1),
                                      .namespace_name = "n",
                                      .topic = "/t",
                                      .payload = {.type_url = "T", .value = ""}}}),
              IsOk());
  const std::string golden(
      "\x12\x00\x00\x00\x44\xb9\x83\xaa\x08\x01\x12\x02\x08\x01\x1a\x01\x6e\x22\x02\x2f\x74\x2a\x03"
      "\x0a\x01\x54",
      26);
  EXPECT_THAT(base::ReadFile(dir_ + "/log/0000000000000001.log").value(), golden);
}

}  // namespace
}  // namespace ctrd::events
