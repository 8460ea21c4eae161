// SPDX-License-Identifier: Apache-2.0
#include "snapshots/overlay/overlay_snapshotter.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "snapshots/overlay/overlay_features.h"
#include "snapshots/testing/snapshotter_suite.h"

namespace ctrd::snapshots {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

INSTANTIATE_TEST_SUITE_P(
    Drivers, SnapshotterSuite,
    testing::Values(SnapshotterDriver{
        .name = "Overlay",
        .open = [](const std::string& root) { return OpenOverlaySnapshotter({.root = root}); }}),
    [](const auto& instance) { return instance.param.name; });

class OverlayTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "ctrd-overlay-"));
    options_.root = directory_ + "/root";
    Open();
  }
  void TearDown() override {
    snapshotter_.reset();
    EXPECT_THAT(base::RemoveTree(directory_), IsOk());
  }
  void Open() {
    snapshotter_.reset();
    ASSERT_OK_AND_ASSIGN(snapshotter_, OpenOverlaySnapshotter(options_));
  }
  void Commit(const std::string& name, const std::string& parent) {
    ASSERT_THAT(snapshotter_->Prepare(context_, "edit", parent, {}), IsOk());
    ASSERT_THAT(snapshotter_->Commit(context_, name, "edit", {}, ""), IsOk());
  }
  std::string PathOf(int id, const std::string& name) const {
    return fmt::format("{}/snapshots/{}/{}", options_.root, id, name);
  }
  std::vector<std::string> Entries() const {
    return base::ListDirectory(options_.root + "/snapshots").value();
  }
  static struct stat StatOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info;
  }
  static mode_t ModeOf(const std::string& path) { return StatOf(path).st_mode & 07777; }

  std::string directory_;
  OverlayOptions options_;
  std::unique_ptr<Snapshotter> snapshotter_;
  const base::Context context_;
};

TEST_F(OverlayTest, DirectoriesHaveTheirModes) {
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  EXPECT_EQ(ModeOf(options_.root), 0700u);
  EXPECT_EQ(ModeOf(options_.root + "/snapshots"), 0700u);
  EXPECT_EQ(ModeOf(options_.root + "/metadata.lmdb"), 0600u);
  EXPECT_EQ(ModeOf(options_.root + "/snapshots/1"), 0700u);
  EXPECT_EQ(ModeOf(PathOf(1, "fs")), 0755u);
  EXPECT_EQ(ModeOf(PathOf(1, "work")), 0711u);
}

TEST_F(OverlayTest, MountsAreThoseClientsKnow) {
  options_.mount_options = {"volatile", "index=on"};
  Open();
  ASSERT_OK_AND_ASSIGN(auto active, snapshotter_->Prepare(context_, "edit", "", {}));
  EXPECT_THAT(active, ElementsAre(base::Mount{"bind", PathOf(1, "fs"), "", {"rw", "rbind"}}));
  ASSERT_THAT(snapshotter_->Commit(context_, "one", "edit", {}, ""), IsOk());
  ASSERT_OK_AND_ASSIGN(auto view, snapshotter_->View(context_, "v1", "one", {}));
  EXPECT_THAT(view, ElementsAre(base::Mount{"bind", PathOf(1, "fs"), "", {"ro", "rbind"}}));
  ASSERT_OK_AND_ASSIGN(auto child, snapshotter_->Prepare(context_, "edit", "one", {}));
  EXPECT_THAT(
      child, ElementsAre(base::Mount{"overlay",
                                     "overlay",
                                     "",
                                     {"workdir=" + PathOf(3, "work"), "upperdir=" + PathOf(3, "fs"),
                                      "lowerdir=" + PathOf(1, "fs"), "volatile", "index=on"}}));
  ASSERT_THAT(snapshotter_->Commit(context_, "two", "edit", {}, ""), IsOk());
  ASSERT_OK_AND_ASSIGN(auto deep, snapshotter_->View(context_, "v2", "two", {}));
  EXPECT_THAT(deep, ElementsAre(base::Mount{"overlay",
                                            "overlay",
                                            "",
                                            {"lowerdir=" + PathOf(3, "fs") + ":" + PathOf(1, "fs"),
                                             "volatile", "index=on"}}));
  ASSERT_OK_AND_ASSIGN(auto empty, snapshotter_->View(context_, "v3", "", {}));
  EXPECT_THAT(empty, ElementsAre(base::Mount{"bind", PathOf(5, "fs"), "", {"ro", "rbind"}}));
}

TEST_F(OverlayTest, TheIndexIsOffUnlessConfigured) {
  if (!HasIndex()) GTEST_SKIP() << "overlay without index";
  Commit("base", "");
  ASSERT_OK_AND_ASSIGN(auto mounts, snapshotter_->Prepare(context_, "a", "base", {}));
  EXPECT_EQ(mounts[0].options.back(), "index=off");
}

TEST_F(OverlayTest, MappingLabelsMakeOptionsAndAnOwner) {
  const Labels labels = {{"containerd.io/snapshot/uidmapping", "5:1:1,0:1000:65536"},
                         {"containerd.io/snapshot/gidmapping", "0:2000:65536"}};
  ASSERT_OK_AND_ASSIGN(auto mounts, snapshotter_->Prepare(context_, "a", "", labels));
  EXPECT_EQ(StatOf(PathOf(1, "fs")).st_uid, 1000u);
  EXPECT_EQ(StatOf(PathOf(1, "fs")).st_gid, 2000u);
  EXPECT_EQ(StatOf(PathOf(1, "work")).st_uid, 0u);
  if (CanMapIds()) {
    EXPECT_THAT(mounts[0].options,
                ElementsAre("uidmap=5:1:1,0:1000:65536", "gidmap=0:2000:65536", "rw", "rbind"));
  }
  ASSERT_THAT(snapshotter_->Commit(context_, "base", "a", {}, ""), IsOk());
  ASSERT_THAT(snapshotter_->Prepare(context_, "child", "base", {}), IsOk());
  EXPECT_EQ(StatOf(PathOf(2, "fs")).st_uid, 1000u);  // As its parent.
}

TEST_F(OverlayTest, LabelsThatAreNoMapsLeaveNothing) {
  const Labels labels = {{"containerd.io/snapshot/uidmapping", "0:1000"},
                         {"containerd.io/snapshot/gidmapping", "0:2000:65536"}};
  EXPECT_THAT(snapshotter_->Prepare(context_, "a", "", labels),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_F(OverlayTest, TheUpperDirectoryCanBeALabel) {
  options_.upperdir_label = true;
  Open();
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  const auto label = testing::Pair("containerd.io/snapshot/overlay.upperdir", PathOf(1, "fs"));
  EXPECT_THAT(snapshotter_->Stat(context_, "a")->labels, ElementsAre(label));
  EXPECT_THAT(snapshotter_->Update(context_, {.name = "a"}, {})->labels, ElementsAre(label));
}

TEST_F(OverlayTest, CleanupFreesWhatNoRecordNames) {
  Commit("base", "");
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "base", {}), IsOk());
  ASSERT_THAT(base::MakeDirectories(options_.root + "/snapshots/new-123/fs", 0755), IsOk());
  ASSERT_THAT(base::MakeDirectories(options_.root + "/snapshots/77/fs", 0755), IsOk());
  ASSERT_THAT(base::MakeDirectories(options_.root + "/snapshots/01", 0755), IsOk());
  ASSERT_THAT(snapshotter_->Remove(context_, "a"), IsOk());
  EXPECT_THAT(Entries(), Contains("2"));
  ASSERT_THAT(snapshotter_->Cleanup(context_), IsOk());
  EXPECT_THAT(Entries(), ElementsAre("1"));
}

TEST_F(OverlayTest, RemoveCanFreeAtOnce) {
  options_.sync_remove = true;
  Open();
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  ASSERT_THAT(snapshotter_->Remove(context_, "a"), IsOk());
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_F(OverlayTest, NumbersAreNeverUsedAgain) {
  ASSERT_THAT(snapshotter_->Prepare(context_, "a", "", {}), IsOk());
  ASSERT_THAT(snapshotter_->Remove(context_, "a"), IsOk());
  ASSERT_THAT(snapshotter_->Cleanup(context_), IsOk());
  ASSERT_THAT(base::MakeDirectories(options_.root + "/snapshots/5", 0755), IsOk());
  Open();
  ASSERT_OK_AND_ASSIGN(auto mounts, snapshotter_->Prepare(context_, "a", "", {}));
  EXPECT_EQ(mounts[0].source, PathOf(6, "fs"));
}

TEST(OverlayFeaturesTest, KernelReleasesCompare) {
  EXPECT_TRUE(IsKernelAtLeast("6.1.0-13-amd64", 5, 19));
  EXPECT_TRUE(IsKernelAtLeast("5.19.0", 5, 19));
  EXPECT_FALSE(IsKernelAtLeast("5.4.0-generic", 5, 19));
  EXPECT_TRUE(IsKernelAtLeast("10", 5, 19));
  EXPECT_FALSE(IsKernelAtLeast("", 5, 19));
}

TEST(OverlayFeaturesTest, CapabilitiesFollowTheConfiguration) {
  EXPECT_THAT(OverlayCapabilities({}), Contains("only-remap-ids"));
  EXPECT_THAT(OverlayCapabilities({.slow_chown = true}), Not(Contains("only-remap-ids")));
  EXPECT_EQ(!InUserNamespace(), OverlayCapabilities({}).back() == "rebase");
}

}  // namespace
}  // namespace ctrd::snapshots
