// SPDX-License-Identifier: Apache-2.0
#include "images/content/testing/content_store_suite.h"

#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"

namespace ctrd::content {

using base::IsOk;
using base::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using enum absl::StatusCode;

void ContentStoreSuite::SetUp() {
  ASSERT_OK_AND_ASSIGN(root_, base::MakeTempDirectory(testing::TempDir(), "content-suite-"));
  ASSERT_OK_AND_ASSIGN(store_, GetParam().open(root_));
}

void ContentStoreSuite::TearDown() {
  store_.reset();
  if (root_.empty()) return;
  EXPECT_THAT(base::RemoveTree(root_), IsOk());
}

void ContentStoreSuite::Reopen() {
  if (!GetParam().persistent) return;
  store_.reset();
  ASSERT_OK_AND_ASSIGN(store_, GetParam().open(root_));
}

std::unique_ptr<Writer> ContentStoreSuite::Open(const std::string& ref, int64_t total_bytes,
                                                const Digest& expected) {
  auto writer =
      store_->OpenWriter(context_, {.ref = ref, .total_bytes = total_bytes, .expected = expected});
  EXPECT_THAT(writer, IsOk());
  return writer.ok() ? *std::move(writer) : nullptr;
}

Digest ContentStoreSuite::Put(const std::string& data, const Labels& labels) {
  const Digest digest = Digest::Of(data);
  EXPECT_THAT(WriteBlob(context_, *store_, "put-" + digest.text(), data, digest, labels), IsOk());
  return digest;
}

namespace {

TEST_P(ContentStoreSuite, ABlobIsReadBackAsWritten) {
  const Digest digest = Put("some content");
  ASSERT_OK_AND_ASSIGN(const Info info, store_->Stat(context_, digest));
  EXPECT_EQ(info.digest, digest);
  EXPECT_EQ(info.size_bytes, 12);
  EXPECT_LT(absl::AbsDuration(absl::Now() - info.created), absl::Minutes(1));
  ASSERT_OK_AND_ASSIGN(const std::string data, ReadBlob(context_, *store_, digest));
  EXPECT_EQ(data, "some content");
}

TEST_P(ContentStoreSuite, ReadersReadAnywhereAndGetNothingBeyondTheEnd) {
  const Digest digest = Put("0123456789");
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->OpenReader(context_, digest));
  EXPECT_EQ(reader->size_bytes(), 10);
  char buffer[4];
  ASSERT_OK_AND_ASSIGN(const size_t middle, reader->ReadAt(3, buffer));
  EXPECT_EQ(std::string(buffer, middle), "3456");
  ASSERT_OK_AND_ASSIGN(const size_t tail, reader->ReadAt(8, buffer));
  EXPECT_EQ(std::string(buffer, tail), "89");
  ASSERT_OK_AND_ASSIGN(const size_t beyond, reader->ReadAt(10, buffer));
  EXPECT_EQ(beyond, 0u);
}

TEST_P(ContentStoreSuite, ReadBlobRefusesWhatIsLargerThanItsLimit) {
  const Digest digest = Put("0123456789");
  EXPECT_THAT(ReadBlob(context_, *store_, digest, 9), StatusIs(kResourceExhausted));
}

TEST_P(ContentStoreSuite, UnknownContentIsNotFound) {
  const Digest unknown = Digest::Of("unknown");
  const std::string text = "content digest " + unknown.text() + ": not found";
  EXPECT_THAT(store_->Stat(context_, unknown), StatusIs(kNotFound, text));
  EXPECT_THAT(store_->OpenReader(context_, unknown), StatusIs(kNotFound));
  EXPECT_THAT(store_->Delete(context_, unknown), StatusIs(kNotFound));
}

TEST_P(ContentStoreSuite, AnEmptyBlobMayBeCommitted) {
  auto writer = Open("empty");
  ASSERT_THAT(writer->Commit(context_, 0, {}, {}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Info info, store_->Stat(context_, Digest::Of("")));
  EXPECT_EQ(info.size_bytes, 0);
}

TEST_P(ContentStoreSuite, TheWriterTellsOffsetAndDigestAsItGoes) {
  auto writer = Open("ref", 100);
  EXPECT_EQ(writer->digest(), Digest::Of(""));
  ASSERT_THAT(writer->Write("hello "), IsOk());
  ASSERT_THAT(writer->Write("world"), IsOk());
  EXPECT_EQ(writer->digest(), Digest::Of("hello world"));
  EXPECT_EQ(writer->status().offset_bytes, 11);
  EXPECT_EQ(writer->status().total_bytes, 100);
  EXPECT_EQ(writer->status().ref, "ref");
  ASSERT_THAT(writer->Commit(context_, 11, Digest::Of("hello world"), {}), IsOk());
}

TEST_P(ContentStoreSuite, AnEmptyRefIsInvalid) {
  EXPECT_THAT(store_->OpenWriter(context_, {.ref = ""}), StatusIs(kInvalidArgument));
}

TEST_P(ContentStoreSuite, ASecondWriterOfARefIsUnavailableUntilTheFirstIsClosed) {
  auto first = Open("ref");
  EXPECT_THAT(store_->OpenWriter(context_, {.ref = "ref"}),
              StatusIs(kUnavailable, AllOf(StartsWith("ref "), HasSubstr("ref locked for "),
                                           HasSubstr(" (since "), EndsWith("): unavailable"))));
  first.reset();
  EXPECT_NE(Open("ref"), nullptr);
}

TEST_P(ContentStoreSuite, OpeningForABlobThatIsThereAlreadyExists) {
  const Digest digest = Put("there");
  EXPECT_THAT(store_->OpenWriter(context_, {.ref = "again", .expected = digest}),
              StatusIs(kAlreadyExists, "content " + digest.text() + ": already exists"));
  EXPECT_THAT(store_->StatusOf(context_, "again"), StatusIs(kNotFound));
}

TEST_P(ContentStoreSuite, AClosedIngestIsResumedWithItsDigest) {
  auto writer = Open("ref", 11);
  const absl::Time started = writer->status().started;
  ASSERT_THAT(writer->Write("hello "), IsOk());
  writer.reset();
  Reopen();
  writer = Open("ref", 11);
  EXPECT_EQ(writer->status().offset_bytes, 6);
  EXPECT_EQ(writer->status().total_bytes, 11);
  EXPECT_EQ(writer->status().started, started);
  EXPECT_EQ(writer->digest(), Digest::Of("hello "));
  ASSERT_THAT(writer->Write("world"), IsOk());
  ASSERT_THAT(writer->Commit(context_, 11, Digest::Of("hello world"), {}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto data, ReadBlob(context_, *store_, Digest::Of("hello world")));
  EXPECT_EQ(data, "hello world");
}

TEST_P(ContentStoreSuite, AnotherTotalStartsTheIngestOver) {
  ASSERT_THAT(Open("ref", 11)->Write("hello "), IsOk());
  auto writer = Open("ref", 12);
  EXPECT_EQ(writer->status().offset_bytes, 0);
  EXPECT_EQ(writer->status().total_bytes, 12);
  ASSERT_THAT(writer->Commit(context_, 0, Digest::Of(""), {}), IsOk());
}

TEST_P(ContentStoreSuite, TruncateToNothingStartsOver) {
  auto writer = Open("ref");
  ASSERT_THAT(writer->Write("wrong"), IsOk());
  EXPECT_FALSE(writer->Truncate(3).ok());
  ASSERT_THAT(writer->Truncate(0), IsOk());
  EXPECT_EQ(writer->status().offset_bytes, 0);
  ASSERT_THAT(writer->Write("right"), IsOk());
  EXPECT_EQ(writer->digest(), Digest::Of("right"));
  ASSERT_THAT(writer->Commit(context_, 5, Digest::Of("right"), {}), IsOk());
}

TEST_P(ContentStoreSuite, AFailedCommitKeepsTheIngestAndClosesTheWriter) {
  auto writer = Open("ref");
  ASSERT_THAT(writer->Write("data"), IsOk());
  EXPECT_THAT(writer->Commit(context_, 5, {}, {}), StatusIs(kFailedPrecondition));
  EXPECT_FALSE(writer->Write("more").ok());
  writer = Open("ref");
  EXPECT_EQ(writer->status().offset_bytes, 4);
  const std::string wrong = Digest::Of("other").text();
  EXPECT_THAT(
      writer->Commit(context_, 0, Digest::Of("other"), {}),
      StatusIs(kFailedPrecondition, "unexpected commit digest " + Digest::Of("data").text() +
                                        ", expected " + wrong + ": failed precondition"));
  writer = Open("ref");
  EXPECT_THAT(writer->Commit(context_, 4, Digest::Of("data"), {}), IsOk());
}

TEST_P(ContentStoreSuite, CommittingWhatIsThereRemovesTheIngest) {
  const Digest digest = Put("twice");
  auto writer = Open("ref");
  ASSERT_THAT(writer->Write("twice"), IsOk());
  EXPECT_THAT(writer->Commit(context_, 5, {}, {}),
              StatusIs(kAlreadyExists, "content " + digest.text() + ": already exists"));
  EXPECT_THAT(store_->StatusOf(context_, "ref"), StatusIs(kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto data, ReadBlob(context_, *store_, digest));
  EXPECT_EQ(data, "twice");
}

TEST_P(ContentStoreSuite, ACommitMayExpectALongerAlgorithm) {
  for (const char* algorithm : {"sha384", "sha512"}) {
    base::Hasher hasher(algorithm);
    hasher.Update("data");
    auto writer = Open("ref");
    ASSERT_THAT(writer->Write("data"), IsOk());
    ASSERT_THAT(writer->Commit(context_, 4, hasher.Current(), {}), IsOk());
    ASSERT_OK_AND_ASSIGN(const auto data, ReadBlob(context_, *store_, hasher.Current()));
    EXPECT_EQ(data, "data");
  }
}

TEST_P(ContentStoreSuite, StatusesTellWhatIsInFlight) {
  EXPECT_THAT(store_->StatusOf(context_, "ref"), StatusIs(kNotFound, "reference ref: not found"));
  auto writer = Open("ref", 10);
  auto other = Open("other");
  ASSERT_THAT(writer->Write("1234"), IsOk());
  ASSERT_OK_AND_ASSIGN(const IngestStatus status, store_->StatusOf(context_, "ref"));
  EXPECT_EQ(status.offset_bytes, 4);
  EXPECT_EQ(status.total_bytes, 10);
  EXPECT_GE(status.updated, status.started);
  ASSERT_OK_AND_ASSIGN(const auto all, store_->ListStatuses(context_, {}));
  EXPECT_EQ(all.size(), 2u);
  const std::string filters[] = {"ref==ref"};
  ASSERT_OK_AND_ASSIGN(const base::Filter filter, base::Filter::Parse(filters));
  ASSERT_OK_AND_ASSIGN(const auto one, store_->ListStatuses(context_, filter));
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].ref, "ref");
}

TEST_P(ContentStoreSuite, AbortDropsAnIngest) {
  ASSERT_THAT(Open("ref")->Write("data"), IsOk());
  ASSERT_THAT(store_->Abort(context_, "ref"), IsOk());
  EXPECT_THAT(store_->Abort(context_, "ref"), StatusIs(kNotFound, "reference ref: not found"));
  EXPECT_EQ(Open("ref")->status().offset_bytes, 0);
}

TEST_P(ContentStoreSuite, AWriterWhoseIngestWasAbortedFailsAtCommit) {
  auto writer = Open("ref");
  ASSERT_THAT(writer->Write("data"), IsOk());
  ASSERT_THAT(store_->Abort(context_, "ref"), IsOk());
  EXPECT_FALSE(writer->Commit(context_, 4, {}, {}).ok());
  EXPECT_THAT(store_->Stat(context_, Digest::Of("data")), StatusIs(kNotFound));
}

TEST_P(ContentStoreSuite, WalkGoesInOrderOfTheDigest) {
  std::vector<std::string> expected = {Put("a").text(), Put("b").text(), Put("c").text()};
  std::sort(expected.begin(), expected.end());
  std::vector<std::string> seen;
  const auto visit = [&](const Info& info) {
    seen.push_back(info.digest.text());
    return absl::OkStatus();
  };
  ASSERT_THAT(store_->Walk(context_, {}, visit), IsOk());
  EXPECT_EQ(seen, expected);
  seen.clear();
  const std::string filters[] = {"digest==\"" + expected[1] + "\""};
  ASSERT_OK_AND_ASSIGN(const base::Filter filter, base::Filter::Parse(filters));
  ASSERT_THAT(store_->Walk(context_, filter, visit), IsOk());
  EXPECT_THAT(seen, ElementsAre(expected[1]));
}

TEST_P(ContentStoreSuite, WalkStopsWithTheErrorOfItsVisitor) {
  Put("a");
  Put("b");
  int calls = 0;
  EXPECT_THAT(store_->Walk(context_, {},
                           [&](const Info&) {
                             ++calls;
                             return absl::DataLossError("stop");
                           }),
              StatusIs(kDataLoss, "stop"));
  EXPECT_EQ(calls, 1);
}

TEST_P(ContentStoreSuite, DeletedContentIsGone) {
  const Digest digest = Put("data");
  ASSERT_THAT(store_->Delete(context_, digest), IsOk());
  EXPECT_THAT(store_->Stat(context_, digest), StatusIs(kNotFound));
  EXPECT_THAT(store_->Delete(context_, digest), StatusIs(kNotFound));
}

TEST_P(ContentStoreSuite, BlobsAreThereAfterReopening) {
  const Digest digest = Put("data");
  Reopen();
  ASSERT_OK_AND_ASSIGN(const auto data, ReadBlob(context_, *store_, digest));
  EXPECT_EQ(data, "data");
}

TEST_P(ContentStoreSuite, LabelsAreKeptAndUpdated) {
  if (!GetParam().labels) GTEST_SKIP() << "this store keeps no labels";
  const Digest digest = Put("data", {{"a", "1"}, {"b", "2"}});
  ASSERT_OK_AND_ASSIGN(Info info, store_->Stat(context_, digest));
  EXPECT_EQ(info.labels, (Labels{{"a", "1"}, {"b", "2"}}));
  info.labels = {{"a", ""}, {"c", "3"}};
  ASSERT_OK_AND_ASSIGN(info,
                       store_->Update(context_, info, {.replace_all = false, .keys = {"a", "c"}}));
  EXPECT_EQ(info.labels, (Labels{{"b", "2"}, {"c", "3"}}));
  info.labels = {{"only", "this"}};
  ASSERT_OK_AND_ASSIGN(info, store_->Update(context_, info, {}));
  EXPECT_EQ(info.labels, (Labels{{"only", "this"}}));
  EXPECT_THAT(store_->Update(context_, {.digest = Digest::Of("unknown")}, {}), StatusIs(kNotFound));
}

TEST_P(ContentStoreSuite, ManyWritersOfOneBlobAllSucceedAndOneMakesIt) {
  const std::string data(100'000, 'x');
  std::vector<absl::Status> results(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      auto writer = store_->OpenWriter(context_, {.ref = "ref-" + std::to_string(i)});
      results[i] = writer.ok() ? (*writer)->Write(data) : writer.status();
      if (results[i].ok()) results[i] = (*writer)->Commit(context_, 0, Digest::Of(data), {});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::count_if(results.begin(), results.end(), [](auto& r) { return r.ok(); }), 1);
  for (const absl::Status& result : results) {
    EXPECT_TRUE(result.ok() || absl::IsAlreadyExists(result)) << result;
  }
  ASSERT_OK_AND_ASSIGN(const auto statuses, store_->ListStatuses(context_, {}));
  EXPECT_TRUE(statuses.empty());
}

}  // namespace
}  // namespace ctrd::content
