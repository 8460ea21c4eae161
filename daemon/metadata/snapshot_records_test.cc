// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/testing/metadata_fixture.h"

namespace ctrd::metadata {
namespace {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class SnapshotRecordsTest : public MetadataTest {
 protected:
  std::vector<snapshots::Info> InDriver() {
    std::vector<snapshots::Info> infos;
    EXPECT_THAT(driver_.Walk(context_, {},
                             [&](const snapshots::Info& info) {
                               infos.push_back(info);
                               return absl::OkStatus();
                             }),
                IsOk());
    return infos;
  }
};

TEST_F(SnapshotRecordsTest, NamesAreTheClients) {
  CommitSnapshot(context_, "base", "");
  ASSERT_THAT(snapshots().Prepare(context_, "key/1", "base", {{"a", "1"}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto info, snapshots().Stat(context_, "key/1"));
  EXPECT_EQ(info.name, "key/1");
  EXPECT_EQ(info.parent, "base");
  EXPECT_EQ(info.kind, snapshots::Kind::kActive);
  EXPECT_THAT(info.labels, ElementsAre(Pair("a", "1")));
  EXPECT_THAT(snapshots().Stat(other_, "key/1"),
              StatusIs(StatusCode::kNotFound, "snapshot key/1 does not exist: not found"));
  ASSERT_THAT(snapshots().Prepare(other_, "key/1", "", {}), IsOk());
  for (const snapshots::Info& backend : InDriver()) {
    EXPECT_TRUE(backend.name.starts_with("ns/") || backend.name.starts_with("other/"));
  }
  EXPECT_THAT(events_.TakeTopics(), ElementsAre("ns /snapshot/prepare", "ns /snapshot/commit",
                                                "ns /snapshot/prepare", "other /snapshot/prepare"));
}

TEST_F(SnapshotRecordsTest, ErrorsAreInTheClientsNames) {
  EXPECT_THAT(snapshots().Commit(context_, "n", "k", {}, ""),
              StatusIs(StatusCode::kNotFound, "can not find snapshotter \"fake\": not found"));
  CommitSnapshot(context_, "base", "");
  EXPECT_THAT(snapshots().Prepare(context_, "", "", {}),
              StatusIs(StatusCode::kUnknown, "bucket name required"));
  EXPECT_THAT(snapshots().Prepare(context_, "base", "", {}),
              StatusIs(StatusCode::kAlreadyExists, "snapshot \"base\": already exists"));
  EXPECT_THAT(snapshots().Prepare(context_, "k", "no", {}),
              StatusIs(StatusCode::kNotFound, "parent snapshot no does not exist: not found"));
  ASSERT_THAT(snapshots().View(context_, "v", "base", {}), IsOk());
  EXPECT_THAT(snapshots().Prepare(context_, "k", "v", {}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("is not committed snapshot")));
  EXPECT_THAT(snapshots().Commit(context_, "base", "v", {}, ""),
              StatusIs(StatusCode::kAlreadyExists, "snapshot \"base\": already exists"));
  EXPECT_THAT(snapshots().Commit(context_, "n", "no", {}, ""),
              StatusIs(StatusCode::kNotFound, "snapshot no does not exist: not found"));
  EXPECT_THAT(snapshots().Commit(context_, "n", "v", {}, ""),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(snapshots().Remove(context_, "base"),
              StatusIs(StatusCode::kFailedPrecondition,
                       "cannot remove snapshot with child: failed precondition"));
  EXPECT_THAT(snapshots().Remove(context_, "no"),
              StatusIs(StatusCode::kNotFound, "snapshot no does not exist: not found"));
  EXPECT_THAT(snapshots().Update(context_, {}, {}),
              StatusIs(StatusCode::kInvalidArgument, "invalid argument"));
  EXPECT_THAT(snapshots().Cleanup(context_),
              StatusIs(StatusCode::kUnimplemented,
                       "snapshotter does not implement Cleanup method: not implemented"));
  EXPECT_THAT(snapshots().Prepare(context_.WithLease("no"), "k", "", {}),
              StatusIs(StatusCode::kNotFound, "lease does not exist: not found"));
  driver_.FailNext(base::AlreadyExists("what"));
  EXPECT_THAT(snapshots().Prepare(context_, "k", "", {}),
              StatusIs(StatusCode::kUnknown,
                       "unexpected error from snapshotter: what: already exists: unknown"));
}

TEST_F(SnapshotRecordsTest, DriverSeesOnlyItsLabels) {
  const base::Labels labels{
      {"user", "1"}, {"containerd.io/gc.root", "x"}, {"containerd.io/snapshot/diff-id", "d"}};
  ASSERT_THAT(snapshots().Prepare(context_, "k", "", labels), IsOk());
  EXPECT_THAT(InDriver()[0].labels, ElementsAre(Pair("containerd.io/snapshot/diff-id", "d")));
  EXPECT_EQ(snapshots().Stat(context_, "k")->labels, labels);
  const snapshots::Info change{.name = "k", .labels = {{"user", "2"}}};
  ASSERT_OK_AND_ASSIGN(
      auto info, snapshots().Update(context_, change, {.replace_all = false, .keys = {"user"}}));
  EXPECT_EQ(info.labels.size(), 3);
  ASSERT_OK_AND_ASSIGN(info, snapshots().Update(context_, change, {}));
  EXPECT_THAT(info.labels, ElementsAre(Pair("user", "2")));
  EXPECT_THAT(InDriver()[0].labels, ElementsAre());
  ASSERT_THAT(snapshots().Commit(context_, "n", "k", {{"c", "1"}}, ""), IsOk());
  EXPECT_THAT(snapshots().Stat(context_, "n")->labels, ElementsAre(Pair("c", "1")));
}

TEST_F(SnapshotRecordsTest, RemovedKeyIsFreeAtOnceAndTheDriverCleanedLater) {
  ASSERT_THAT(snapshots().Prepare(context_, "k", "", {}), IsOk());
  ASSERT_THAT(snapshots().Remove(context_, "k"), IsOk());
  EXPECT_EQ(SnapshotsInDriver(), 1);
  ASSERT_THAT(snapshots().Prepare(context_, "k", "", {{"containerd.io/gc.root", "x"}}), IsOk());
  EXPECT_EQ(SnapshotsInDriver(), 2);
  Collect();
  EXPECT_EQ(SnapshotsInDriver(), 1);
  EXPECT_EQ(driver_.cleanups(), 1);
  EXPECT_TRUE(HasSnapshot(context_, "k"));
}

TEST_F(SnapshotRecordsTest, FailedRecordLeavesNothingInTheDriver) {
  driver_.FailNext(absl::UnavailableError("later"));
  EXPECT_THAT(snapshots().Prepare(context_, "k", "", {}), StatusIs(StatusCode::kUnavailable));
  EXPECT_EQ(SnapshotsInDriver(), 0);
  EXPECT_FALSE(HasSnapshot(context_, "k"));
}

TEST_F(SnapshotRecordsTest, RebaseGivesAParent) {
  CommitSnapshot(context_, "base", "");
  ASSERT_THAT(snapshots().Prepare(context_, "k", "", {}), IsOk());
  EXPECT_THAT(snapshots().Commit(context_, "n", "k", {}, "no"),
              StatusIs(StatusCode::kNotFound, "parent snapshot no does not exist: not found"));
  ASSERT_THAT(snapshots().Commit(context_, "n", "k", {}, "base"), IsOk());
  EXPECT_EQ(snapshots().Stat(context_, "n")->parent, "base");
  EXPECT_THAT(snapshots().Remove(context_, "base"), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(SnapshotRecordsTest, LeaseFollowsCommit) {
  ASSERT_THAT(metadata_->leases().Create(context_, {.id = "l"}), IsOk());
  const base::Context leased = context_.WithLease("l");
  ASSERT_THAT(snapshots().Prepare(leased, "k", "", {}), IsOk());
  ASSERT_THAT(snapshots().Commit(leased, "n", "k", {}, ""), IsOk());
  EXPECT_THAT(*metadata_->leases().ListResources(context_, "l"),
              ElementsAre(images::LeaseResource{"n", "snapshots/fake"}));
  ASSERT_THAT(metadata_->leases().Create(context_, {.id = "m"}), IsOk());
  EXPECT_THAT(snapshots().Prepare(context_.WithLease("m"), "n", "", {}),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(*metadata_->leases().ListResources(context_, "m"),
              ElementsAre(images::LeaseResource{"n", "snapshots/fake"}));
}

TEST_F(SnapshotRecordsTest, TargetThatTheDriverHasIsRecorded) {
  const base::Labels target{{"containerd.io/snapshot.ref", "chain"}};
  driver_.FailNext(base::AlreadyExists("remote"));
  EXPECT_THAT(snapshots().Prepare(context_, "k", "", target),
              StatusIs(StatusCode::kNotFound, "target snapshot \"chain\" in backend: not found"));
  ASSERT_THAT(driver_.Prepare(context_, "x", "", target), IsOk());
  ASSERT_THAT(driver_.Commit(context_, "remote-made", "x", target, ""), IsOk());
  driver_.FailNext(base::AlreadyExists("remote"));
  EXPECT_THAT(snapshots().Prepare(context_, "k", "", target),
              StatusIs(StatusCode::kAlreadyExists,
                       "target snapshot \"chain\" from snapshotter: already exists"));
  ASSERT_OK_AND_ASSIGN(const auto info, snapshots().Stat(context_, "chain"));
  EXPECT_EQ(info.kind, snapshots::Kind::kCommitted);
  EXPECT_THAT(snapshots().Prepare(context_, "k", "", target),
              StatusIs(StatusCode::kAlreadyExists, "target snapshot \"chain\": already exists"));
  ASSERT_THAT(snapshots().Prepare(context_, "child", "chain", {}), IsOk());
}

TEST_F(SnapshotRecordsTest, WalkShowsTheNamespaceInOrder) {
  CommitSnapshot(context_, "b", "");
  CommitSnapshot(context_, "a", "");
  ASSERT_THAT(snapshots().View(context_, "v", "a", {}), IsOk());
  CommitSnapshot(other_, "c", "");
  ASSERT_OK_AND_ASSIGN(const auto filter,
                       base::Filter::Parse(std::vector<std::string>{"kind==committed"}));
  std::vector<std::string> names;
  ASSERT_THAT(snapshots().Walk(context_, filter,
                               [&](const snapshots::Info& info) {
                                 names.push_back(info.name);
                                 return absl::OkStatus();
                               }),
              IsOk());
  EXPECT_THAT(names, ElementsAre("a", "b"));
}

}  // namespace
}  // namespace ctrd::metadata
