// SPDX-License-Identifier: Apache-2.0

// The part of the suite that mounts what a driver returns.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "snapshots/testing/snapshotter_suite.h"

namespace ctrd::snapshots {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;

namespace {

// Once in a program: from here on its mounts are its own.
bool CanMount() {
  static const bool can = ::geteuid() == 0 && ::unshare(CLONE_NEWNS) == 0 &&
                          ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return can;
}

void Write(const std::string& path, std::string_view data) {
  EXPECT_THAT(base::WriteFileAtomically(path, data, 0644), IsOk());
}

std::string Read(const std::string& path) { return base::ReadFile(path).value_or("<missing>"); }

#define SKIP_WITHOUT_MOUNTS()                                            \
  if (!GetParam().keeps_files) GTEST_SKIP() << "a driver without files"; \
  if (!CanMount()) GTEST_SKIP() << "needs root"

}  // namespace

TEST_P(SnapshotterSuite, AnEmptySnapshotShowsAnEmptyDirectoryOthersMayEnter) {
  SKIP_WITHOUT_MOUNTS();
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->Prepare(context_, "a", "", {}));
  Mounted(mounts, [](const std::string& at) {
    EXPECT_THAT(base::ListDirectory(at).value(), testing::IsEmpty());
    struct stat info = {};
    ASSERT_EQ(::stat(at.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0755u);
    EXPECT_EQ(info.st_uid, 0u);
  });
}

TEST_P(SnapshotterSuite, AChildShowsItsParentsFilesAndChangesOnlyItsOwn) {
  SKIP_WITHOUT_MOUNTS();
  CommitTree("base", "", [](const std::string& at) {
    Write(at + "/kept", "base");
    Write(at + "/changed", "base");
    Write(at + "/removed", "base");
  });
  CommitTree("top", "base", [](const std::string& at) {
    EXPECT_EQ(Read(at + "/kept"), "base");
    Write(at + "/changed", "top");
    Write(at + "/new", "top");
    EXPECT_EQ(::unlink((at + "/removed").c_str()), 0);
  });
  ASSERT_OK_AND_ASSIGN(base::Mounts top, snapshotter_->View(context_, "v-top", "top", {}));
  Mounted(top, [](const std::string& at) {
    EXPECT_EQ(Read(at + "/kept"), "base");
    EXPECT_EQ(Read(at + "/changed"), "top");
    EXPECT_EQ(Read(at + "/new"), "top");
    EXPECT_EQ(Read(at + "/removed"), "<missing>");
  });
  ASSERT_OK_AND_ASSIGN(base::Mounts base, snapshotter_->View(context_, "v-base", "base", {}));
  Mounted(base, [](const std::string& at) {
    EXPECT_EQ(Read(at + "/changed"), "base");
    EXPECT_EQ(Read(at + "/removed"), "base");
    EXPECT_EQ(Read(at + "/new"), "<missing>");
  });
}

TEST_P(SnapshotterSuite, SiblingsDoNotSeeEachOther) {
  SKIP_WITHOUT_MOUNTS();
  CommitTree("base", "", [](const std::string& at) { Write(at + "/file", "base"); });
  ASSERT_OK_AND_ASSIGN(base::Mounts one, snapshotter_->Prepare(context_, "one", "base", {}));
  ASSERT_OK_AND_ASSIGN(base::Mounts two, snapshotter_->Prepare(context_, "two", "base", {}));
  Mounted(one, [](const std::string& at) { Write(at + "/file", "one"); });
  Mounted(two, [](const std::string& at) { EXPECT_EQ(Read(at + "/file"), "base"); });
  Mounted(one, [](const std::string& at) { EXPECT_EQ(Read(at + "/file"), "one"); });
}

TEST_P(SnapshotterSuite, AViewCannotBeWritten) {
  SKIP_WITHOUT_MOUNTS();
  CommitTree("base", "", [](const std::string& at) { Write(at + "/file", "base"); });
  CommitTree("top", "base", [](const std::string&) {});
  for (const std::string parent : {"", "base", "top"}) {
    ASSERT_OK_AND_ASSIGN(base::Mounts mounts,
                         snapshotter_->View(context_, "view-" + parent, parent, {}));
    Mounted(mounts, [](const std::string& at) {
      EXPECT_NE(::mkdir((at + "/x").c_str(), 0755), 0);
      EXPECT_EQ(errno, EROFS);
    });
  }
}

TEST_P(SnapshotterSuite, AChainOfManySnapshotsCanBeMounted) {
  SKIP_WITHOUT_MOUNTS();
  constexpr int kLayers = 130;
  std::string parent;
  for (int i = 0; i < kLayers; ++i) {
    const std::string name = fmt::format("layer-{}", i);
    ASSERT_OK_AND_ASSIGN(base::Mounts mounts,
                         snapshotter_->Prepare(context_, "edit-" + name, parent, {}));
    if (i == 0 || i == kLayers - 1) {
      Mounted(mounts, [i](const std::string& at) { Write(fmt::format("{}/file-{}", at, i), "x"); });
    }
    ASSERT_THAT(snapshotter_->Commit(context_, name, "edit-" + name, {}, ""), IsOk());
    parent = name;
  }
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->View(context_, "v", parent, {}));
  Mounted(mounts, [](const std::string& at) {
    EXPECT_EQ(Read(at + "/file-0"), "x");
    EXPECT_EQ(Read(at + "/file-129"), "x");
  });
}

TEST_P(SnapshotterSuite, OwnersModesAndLinksComeThrough) {
  SKIP_WITHOUT_MOUNTS();
  CommitTree("base", "", [](const std::string& at) {
    Write(at + "/file", "data");
    ASSERT_EQ(::chown((at + "/file").c_str(), 1000, 1001), 0);
    ASSERT_EQ(::chmod((at + "/file").c_str(), 04751), 0);
    ASSERT_EQ(::link((at + "/file").c_str(), (at + "/hard").c_str()), 0);
    ASSERT_EQ(::symlink("/somewhere/else", (at + "/soft").c_str()), 0);
    ASSERT_EQ(::mkdir((at + "/dir").c_str(), 0700), 0);
    ASSERT_EQ(::mkfifo((at + "/dir/pipe").c_str(), 0620), 0);
  });
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->Prepare(context_, "a", "base", {}));
  Mounted(mounts, [](const std::string& at) {
    struct stat file = {}, hard = {}, pipe = {};
    ASSERT_EQ(::lstat((at + "/file").c_str(), &file), 0);
    EXPECT_EQ(file.st_uid, 1000u);
    EXPECT_EQ(file.st_gid, 1001u);
    EXPECT_EQ(file.st_mode & 07777, 04751u);
    ASSERT_EQ(::lstat((at + "/hard").c_str(), &hard), 0);
    EXPECT_EQ(hard.st_ino, file.st_ino);
    ASSERT_EQ(::lstat((at + "/dir/pipe").c_str(), &pipe), 0);
    EXPECT_TRUE(S_ISFIFO(pipe.st_mode));
    char target[64] = {};
    ASSERT_GT(::readlink((at + "/soft").c_str(), target, sizeof(target) - 1), 0);
    EXPECT_STREQ(target, "/somewhere/else");
  });
}

TEST_P(SnapshotterSuite, ARebasedSnapshotShowsItsNewParent) {
  SKIP_WITHOUT_MOUNTS();
  if (!GetParam().rebases) GTEST_SKIP() << "a driver that cannot rebase";
  CommitTree("base", "", [](const std::string& at) { Write(at + "/base", "base"); });
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->Prepare(context_, "a", "", {}));
  Mounted(mounts, [](const std::string& at) { Write(at + "/top", "top"); });
  ASSERT_THAT(snapshotter_->Commit(context_, "top", "a", {}, "base"), IsOk());
  ASSERT_OK_AND_ASSIGN(base::Mounts view, snapshotter_->View(context_, "v", "top", {}));
  Mounted(view, [](const std::string& at) {
    EXPECT_EQ(Read(at + "/base"), "base");
    EXPECT_EQ(Read(at + "/top"), "top");
  });
}

TEST_P(SnapshotterSuite, UsageGrowsWithWhatIsWrittenAndIsRecorded) {
  SKIP_WITHOUT_MOUNTS();
  ASSERT_OK_AND_ASSIGN(base::Mounts mounts, snapshotter_->Prepare(context_, "a", "", {}));
  const Usage empty = *snapshotter_->UsageOf(context_, "a");
  Mounted(mounts, [](const std::string& at) { Write(at + "/file", std::string(1 << 20, 'x')); });
  const Usage written = *snapshotter_->UsageOf(context_, "a");
  EXPECT_GT(written.inodes, empty.inodes);
  ASSERT_THAT(snapshotter_->Commit(context_, "base", "a", {}, ""), IsOk());
  const Usage recorded = *snapshotter_->UsageOf(context_, "base");
  EXPECT_EQ(recorded.inodes, written.inodes);
  EXPECT_GE(recorded.size_bytes, empty.size_bytes + (1 << 20));
}

}  // namespace ctrd::snapshots
