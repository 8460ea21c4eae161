// SPDX-License-Identifier: Apache-2.0
#include "snapshots/native/native_snapshotter.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "snapshots/testing/snapshotter_suite.h"

namespace ctrd::snapshots {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;

INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterSuite,
                         testing::Values(SnapshotterDriver{
                             .name = "Native", .open = OpenNativeSnapshotter, .rebases = false}),
                         [](const auto& instance) { return instance.param.name; });

class NativeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(root_, base::MakeTempDirectory("/tmp", "ctrd-native-"));
    Open();
  }
  void TearDown() override {
    snapshotter_.reset();
    EXPECT_THAT(base::RemoveTree(root_), IsOk());
  }
  void Open() {
    snapshotter_.reset();
    ASSERT_OK_AND_ASSIGN(snapshotter_, OpenNativeSnapshotter(root_));
  }
  std::string PathOf(int id) const { return fmt::format("{}/snapshots/{}", root_, id); }
  std::vector<std::string> Entries() const {
    return base::ListDirectory(root_ + "/snapshots").value();
  }

  std::string root_;
  std::unique_ptr<Snapshotter> snapshotter_;
  const base::Context context_;
};

TEST_F(NativeTest, MountsAreBindsOfWholeTrees) {
  ASSERT_OK_AND_ASSIGN(auto active, snapshotter_->Prepare(context_, "a", "", {}));
  EXPECT_THAT(active, ElementsAre(base::Mount{"bind", PathOf(1), "", {"rbind", "rw"}}));
  ASSERT_THAT(snapshotter_->Commit(context_, "base", "a", {}, ""), IsOk());
  ASSERT_OK_AND_ASSIGN(auto child, snapshotter_->Prepare(context_, "b", "base", {}));
  EXPECT_THAT(child, ElementsAre(base::Mount{"bind", PathOf(2), "", {"rbind", "rw"}}));
  ASSERT_OK_AND_ASSIGN(auto view, snapshotter_->View(context_, "v", "base", {}));
  EXPECT_THAT(view, ElementsAre(base::Mount{"bind", PathOf(1), "", {"rbind", "ro"}}));
  EXPECT_THAT(Entries(), ElementsAre("1", "2"));
}

TEST_F(NativeTest, RemoveFreesAtOnceAndThereIsNoCleanup) {
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  ASSERT_THAT(snapshotter_->Remove(context_, "a"), IsOk());
  EXPECT_THAT(Entries(), testing::IsEmpty());
  EXPECT_THAT(snapshotter_->Cleanup(context_), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(NativeTest, WhatACrashLeftGoesAtTheNextStart) {
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  ASSERT_THAT(base::MakeDirectories(PathOf(9) + "/half/copied", 0755), IsOk());
  ASSERT_THAT(base::MakeDirectories(root_ + "/snapshots/rm-4", 0755), IsOk());
  Open();
  EXPECT_THAT(Entries(), ElementsAre("1"));
}

}  // namespace
}  // namespace ctrd::snapshots
