// SPDX-License-Identifier: Apache-2.0
#include "snapshots/testing/snapshotter_suite.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/files.h"
#include "base/testing/status_matchers.h"

namespace ctrd::snapshots {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SnapshotterSuite);

void SnapshotterSuite::SetUp() {
  ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "ctrd-snapshots-"));
  Reopen();
}

void SnapshotterSuite::TearDown() {
  snapshotter_.reset();
  EXPECT_THAT(base::UnmountAll(directory_), IsOk());
  EXPECT_THAT(base::RemoveTree(directory_), IsOk());
}

void SnapshotterSuite::Reopen() {
  snapshotter_.reset();
  const std::string root = directory_ + "/root";
  ASSERT_THAT(base::MakeDirectories(root, 0700), IsOk());
  ASSERT_OK_AND_ASSIGN(snapshotter_, GetParam().open(root));
}

void SnapshotterSuite::Mounted(const base::Mounts& mounts,
                               const std::function<void(const std::string&)>& look) {
  ASSERT_OK_AND_ASSIGN(base::TempMount mount, base::TempMount::Create(directory_, mounts));
  look(mount.path());
  EXPECT_THAT(mount.Close(), IsOk());
}

void SnapshotterSuite::CommitTree(const std::string& name, const std::string& parent,
                                  const std::function<void(const std::string&)>& edit) {
  const std::string key = "edit-" + name;
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->Prepare(context_, key, parent, {}));
  Mounted(mounts, edit);
  ASSERT_THAT(snapshotter_->Commit(context_, name, key, {}, ""), IsOk());
}

void SnapshotterSuite::Commit(const std::string& name, const std::string& parent) {
  ASSERT_THAT(snapshotter_->Prepare(context_, "edit-" + name, parent, {}), IsOk());
  ASSERT_THAT(snapshotter_->Commit(context_, name, "edit-" + name, {}, ""), IsOk());
}

std::vector<std::string> SnapshotterSuite::Keys(const std::string& filter) {
  std::vector<std::string> filters;
  if (!filter.empty()) filters.push_back(filter);
  auto parsed = base::Filter::Parse(filters);
  EXPECT_THAT(parsed, IsOk());
  std::vector<std::string> keys;
  EXPECT_THAT(snapshotter_->Walk(context_, *parsed,
                                 [&](const Info& info) {
                                   keys.push_back(info.name);
                                   return absl::OkStatus();
                                 }),
              IsOk());
  return keys;
}

TEST_P(SnapshotterSuite, APreparedSnapshotIsActiveAndHasMounts) {
  const absl::Time before = absl::Now();
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->Prepare(context_, "a", "", {}));
  EXPECT_FALSE(mounts.empty());
  EXPECT_THAT(snapshotter_->MountsOf(context_, "a").value(), testing::Eq(mounts));
  EXPECT_THAT(snapshotter_->MountsOf(context_, "a").value(), testing::Eq(mounts));
  ASSERT_OK_AND_ASSIGN(Info info, snapshotter_->Stat(context_, "a"));
  EXPECT_EQ(info.kind, Kind::kActive);
  EXPECT_EQ(info.name, "a");
  EXPECT_EQ(info.parent, "");
  EXPECT_GE(info.created, before);
  EXPECT_EQ(info.created, info.updated);
}

TEST_P(SnapshotterSuite, ACommittedSnapshotTakesTheNameAndTheKeyIsGone) {
  Commit("base");
  EXPECT_THAT(Keys(), ElementsAre("base"));
  ASSERT_OK_AND_ASSIGN(Info info, snapshotter_->Stat(context_, "base"));
  EXPECT_EQ(info.kind, Kind::kCommitted);
  EXPECT_THAT(snapshotter_->Stat(context_, "edit-base"),
              StatusIs(StatusCode::kNotFound, "snapshot edit-base does not exist: not found"));
}

TEST_P(SnapshotterSuite, ACommitHasExactlyItsOwnLabels) {
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {{"containerd.io/snapshot/x", "1"}}),
              IsOk());
  ASSERT_THAT(snapshotter_->Commit(context_, "base", "a", {{"containerd.io/snapshot/y", "2"}}, ""),
              IsOk());
  EXPECT_THAT(snapshotter_->Stat(context_, "base")->labels,
              ElementsAre(Pair("containerd.io/snapshot/y", "2")));
}

TEST_P(SnapshotterSuite, TakenKeysAndNamesAreRefused) {
  Commit("base");
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  for (const char* key : {"base", "a"}) {
    const std::string text = fmt::format("snapshot \"{}\": already exists", key);
    EXPECT_THAT(snapshotter_->Prepare(context_, key, "", {}),
                StatusIs(StatusCode::kAlreadyExists, text));
    EXPECT_THAT(snapshotter_->View(context_, key, "base", {}),
                StatusIs(StatusCode::kAlreadyExists, text));
  }
  EXPECT_THAT(snapshotter_->Commit(context_, "base", "a", {}, ""),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_EQ(snapshotter_->Stat(context_, "a")->kind, Kind::kActive);
}

TEST_P(SnapshotterSuite, AParentMustExistAndBeCommitted) {
  Commit("base");
  ASSERT_THAT(snapshotter_->Prepare(context_, "active", "base", {}), IsOk());
  ASSERT_THAT(snapshotter_->View(context_, "view", "base", {}), IsOk());
  EXPECT_THAT(snapshotter_->Prepare(context_, "x", "nobody", {}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(snapshotter_->View(context_, "x", "nobody", {}), StatusIs(StatusCode::kNotFound));
  for (const char* parent : {"active", "view"}) {
    EXPECT_THAT(snapshotter_->Prepare(context_, "x", parent, {}),
                StatusIs(StatusCode::kInvalidArgument));
    EXPECT_THAT(snapshotter_->View(context_, "x", parent, {}),
                StatusIs(StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(Keys(), ElementsAre("active", "base", "view"));
}

TEST_P(SnapshotterSuite, OnlyActiveSnapshotsCanBeCommitted) {
  Commit("base");
  ASSERT_THAT(snapshotter_->View(context_, "view", "base", {}), IsOk());
  EXPECT_THAT(snapshotter_->Commit(context_, "x", "view", {}, ""),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(snapshotter_->Commit(context_, "x", "base", {}, ""),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(snapshotter_->Commit(context_, "x", "nobody", {}, ""),
              StatusIs(StatusCode::kNotFound, "snapshot nobody does not exist: not found"));
}

TEST_P(SnapshotterSuite, ACommittedSnapshotHasNoMounts) {
  Commit("base");
  EXPECT_THAT(snapshotter_->MountsOf(context_, "base"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(snapshotter_->MountsOf(context_, "nobody"),
              StatusIs(StatusCode::kNotFound, "snapshot nobody does not exist: not found"));
}

TEST_P(SnapshotterSuite, ACommitMayBringAParent) {
  Commit("base");
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  EXPECT_THAT(snapshotter_->Commit(context_, "top", "a", {}, "nobody"),
              StatusIs(StatusCode::kNotFound));
  ASSERT_THAT(snapshotter_->Commit(context_, "top", "a", {}, "base"), IsOk());
  EXPECT_EQ(snapshotter_->Stat(context_, "top")->parent, "base");
  EXPECT_THAT(snapshotter_->Remove(context_, "base"), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_P(SnapshotterSuite, ASnapshotKeepsTheParentItHas) {
  Commit("base");
  Commit("other");
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "base", {}), IsOk());
  ASSERT_THAT(snapshotter_->Commit(context_, "top", "a", {}, "other"), IsOk());
  EXPECT_EQ(snapshotter_->Stat(context_, "top")->parent, "base");
}

TEST_P(SnapshotterSuite, ASnapshotWithChildrenStays) {
  Commit("base");
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "base", {}), IsOk());
  EXPECT_THAT(snapshotter_->Remove(context_, "base"),
              StatusIs(StatusCode::kFailedPrecondition,
                       "cannot remove snapshot with child: failed precondition"));
  ASSERT_THAT(snapshotter_->Remove(context_, "a"), IsOk());
  ASSERT_THAT(snapshotter_->View(context_, "v", "base", {}), IsOk());
  EXPECT_THAT(snapshotter_->Remove(context_, "base"), StatusIs(StatusCode::kFailedPrecondition));
  ASSERT_THAT(snapshotter_->Remove(context_, "v"), IsOk());
  ASSERT_THAT(snapshotter_->Remove(context_, "base"), IsOk());
  EXPECT_THAT(Keys(), IsEmpty());
  EXPECT_THAT(snapshotter_->Remove(context_, "base"),
              StatusIs(StatusCode::kNotFound, "snapshot base does not exist: not found"));
}

TEST_P(SnapshotterSuite, AKeyCanBeUsedAgain) {
  ASSERT_OK_AND_ASSIGN(base::Mounts first, snapshotter_->Prepare(context_, "a", "", {}));
  ASSERT_THAT(snapshotter_->Remove(context_, "a"), IsOk());
  ASSERT_OK_AND_ASSIGN(base::Mounts second, snapshotter_->Prepare(context_, "a", "", {}));
  EXPECT_NE(first, second);
}

TEST_P(SnapshotterSuite, AnUpdateReplacesAllLabels) {
  ASSERT_THAT(
      snapshotter_->Prepare(context_, "a", "",
                            {{"containerd.io/snapshot/x", "1"}, {"containerd.io/snapshot/y", "1"}}),
      IsOk());
  const absl::Time created = snapshotter_->Stat(context_, "a")->created;
  Info wanted{.name = "a", .labels = {{"containerd.io/snapshot/x", "2"}}};
  ASSERT_OK_AND_ASSIGN(Info info, snapshotter_->Update(context_, wanted, LabelsUpdate{}));
  EXPECT_THAT(info.labels, ElementsAre(Pair("containerd.io/snapshot/x", "2")));
  EXPECT_EQ(info.created, created);
  EXPECT_GT(info.updated, created);
  EXPECT_EQ(snapshotter_->Stat(context_, "a")->labels, info.labels);
}

TEST_P(SnapshotterSuite, AnUpdateCanNameItsLabels) {
  ASSERT_THAT(
      snapshotter_->Prepare(context_, "a", "",
                            {{"containerd.io/snapshot/x", "1"}, {"containerd.io/snapshot/y", "1"}}),
      IsOk());
  const Info wanted{
      .name = "a",
      .labels = {{"containerd.io/snapshot/z", "3"}, {"containerd.io/snapshot/ignored", "4"}}};
  const LabelsUpdate update{.replace_all = false,
                            .keys = {"containerd.io/snapshot/z", "containerd.io/snapshot/x"}};
  ASSERT_OK_AND_ASSIGN(Info info, snapshotter_->Update(context_, wanted, update));
  EXPECT_THAT(info.labels, ElementsAre(Pair("containerd.io/snapshot/y", "1"),
                                       Pair("containerd.io/snapshot/z", "3")));
  EXPECT_THAT(snapshotter_->Update(context_, Info{.name = "nobody"}, LabelsUpdate{}),
              StatusIs(StatusCode::kNotFound));
}

TEST_P(SnapshotterSuite, AWalkIsInOrderOfTheKeyAndFiltered) {
  for (const char* name : {"c", "a", "b/x", "b"}) Commit(name);
  ASSERT_THAT(snapshotter_->Prepare(context_, "active", "a", {{"containerd.io/snapshot/x", "1"}}),
              IsOk());
  EXPECT_THAT(Keys(), ElementsAre("a", "active", "b", "b/x", "c"));
  EXPECT_THAT(Keys("kind==active"), ElementsAre("active"));
  EXPECT_THAT(Keys("parent==a"), ElementsAre("active"));
  EXPECT_THAT(Keys("name==c"), ElementsAre("c"));
  EXPECT_THAT(Keys("labels.\"containerd.io/snapshot/x\"==1"), ElementsAre("active"));
  EXPECT_THAT(Keys("kind==view"), IsEmpty());
}

TEST_P(SnapshotterSuite, AWalkStopsWhenItsVisitorFails) {
  for (const char* name : {"a", "b", "c"}) Commit(name);
  int visits = 0;
  EXPECT_THAT(snapshotter_->Walk(context_, base::Filter(),
                                 [&](const Info&) {
                                   return ++visits == 2 ? absl::AbortedError("enough")
                                                        : absl::OkStatus();
                                 }),
              StatusIs(StatusCode::kAborted, "enough"));
  EXPECT_EQ(visits, 2);
}

TEST_P(SnapshotterSuite, AViewUsesNothing) {
  Commit("base");
  ASSERT_THAT(snapshotter_->View(context_, "v", "base", {}), IsOk());
  ASSERT_OK_AND_ASSIGN(Usage usage, snapshotter_->UsageOf(context_, "v"));
  EXPECT_EQ(usage.size_bytes, 0);
  EXPECT_EQ(usage.inodes, 0);
  EXPECT_THAT(snapshotter_->UsageOf(context_, "base"), IsOk());
  EXPECT_THAT(snapshotter_->UsageOf(context_, "nobody"), StatusIs(StatusCode::kNotFound));
}

TEST_P(SnapshotterSuite, OfManyWhoWantAKeyOneGetsIt) {
  constexpr int kThreads = 8;
  std::atomic<int> prepared = 0, committed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      if (snapshotter_->Prepare(context_, "same", "", {}).ok()) ++prepared;
      const std::string own = fmt::format("own-{}", i);
      EXPECT_THAT(snapshotter_->Prepare(context_, own, "", {}), IsOk());
      if (snapshotter_->Commit(context_, "name", own, {}, "").ok()) ++committed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(committed, 1);
  EXPECT_EQ(Keys().size(), 1u + kThreads);
}

TEST_P(SnapshotterSuite, CleanupDisturbsNobody) {
  Commit("base");
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->Prepare(context_, "a", "base", {}));
  const absl::Status status = snapshotter_->Cleanup(context_);
  EXPECT_TRUE(status.ok() || absl::IsUnimplemented(status)) << status;
  EXPECT_THAT(snapshotter_->MountsOf(context_, "a").value(), testing::Eq(mounts));
  EXPECT_THAT(Keys(), ElementsAre("a", "base"));
}

TEST_P(SnapshotterSuite, SnapshotsOutliveTheDriver) {
  if (!GetParam().is_persistent) GTEST_SKIP() << "not persistent";
  Commit("base");
  ASSERT_OK_AND_ASSIGN(
      base::Mounts mounts,
      snapshotter_->Prepare(context_, "a", "base", {{"containerd.io/snapshot/x", "1"}}));
  const Info before = *snapshotter_->Stat(context_, "a");
  const Usage usage = *snapshotter_->UsageOf(context_, "base");
  Reopen();
  EXPECT_THAT(Keys(), ElementsAre("a", "base"));
  EXPECT_THAT(snapshotter_->MountsOf(context_, "a").value(), testing::Eq(mounts));
  ASSERT_OK_AND_ASSIGN(Info after, snapshotter_->Stat(context_, "a"));
  EXPECT_EQ(after.labels, before.labels);
  EXPECT_EQ(after.created, before.created);
  EXPECT_EQ(after.parent, "base");
  EXPECT_EQ(snapshotter_->UsageOf(context_, "base")->inodes, usage.inodes);
}

}  // namespace ctrd::snapshots
