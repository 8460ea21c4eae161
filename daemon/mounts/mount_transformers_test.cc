// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/mount_transformers.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::mounts {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class MountTransformersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(root_, base::MakeTempDirectory("/tmp", "ctrd-transformers-"));
  }
  void TearDown() override {
    if (root_.empty()) return;
    EXPECT_THAT(base::RemoveTree(root_), IsOk());
  }
  absl::Status Apply(base::Mount& mount) { return Transform(mount, {}, {root_}); }
  absl::Status Mkdir(const std::string& value) {
    base::Mount mount{"mkdir/bind", "/x", "", {"X-containerd.mkdir.path=" + value}};
    return Apply(mount);
  }
  mode_t ModeOf(const std::string& name) const {
    struct stat info = {};
    return ::stat((root_ + name).c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }
  std::string root_;
};

TEST(SplitTypeTest, KnowsItsTransformersAndNothingElse) {
  const TypedMount split = SplitType("format/mkdir/overlay");
  EXPECT_THAT(split.transformers, ElementsAre("format", "mkdir"));
  EXPECT_EQ(split.type, "overlay");
  EXPECT_THAT(SplitType("overlay").transformers, IsEmpty());
  EXPECT_EQ(SplitType("other/overlay").type, "other/overlay");
}

TEST_F(MountTransformersTest, MkdirMakesDirectoriesWithModeAndOwner) {
  base::Mount mount{"mkdir/overlay",
                    "overlay",
                    "",
                    {"X-containerd.mkdir.path=" + root_ + "/up", "ro",
                     "X-containerd.mkdir.path=" + root_ + "/up/work:0751:12:34"}};
  ASSERT_THAT(Apply(mount), IsOk());
  EXPECT_EQ(mount.type, "overlay");
  EXPECT_THAT(mount.options, ElementsAre("ro"));
  EXPECT_EQ(ModeOf("/up"), 0700);
  EXPECT_EQ(ModeOf("/up/work"), 0751);
  struct stat info = {};
  ASSERT_EQ(::stat((root_ + "/up/work").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 12);
  EXPECT_EQ(info.st_gid, 34);
}

TEST_F(MountTransformersTest, MkdirTakesADirectoryThatIsAsAskedFor) {
  ASSERT_THAT(Mkdir(root_ + "/d:0755"), IsOk());
  EXPECT_THAT(Mkdir(root_ + "/d:0755"), IsOk());
  EXPECT_THAT(Mkdir(root_ + "/d"), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Mkdir(root_ + "/d:0755:1:1"), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(MountTransformersTest, MkdirStaysBelowItsRoots) {
  EXPECT_THAT(
      Mkdir("/tmp/elsewhere-entirely"),
      StatusIs(absl::StatusCode::kUnimplemented,
               "no root \"/tmp/elsewhere-entirely\" configured for mkdir: not implemented"));
  EXPECT_THAT(Mkdir(root_ + "/../escaped"), StatusIs(absl::StatusCode::kInvalidArgument));
  // A link that an image brought leads nowhere.
  const std::string outside = root_ + "-outside";
  ASSERT_THAT(base::MakeDirectories(outside, 0755), IsOk());
  ASSERT_EQ(::symlink(outside.c_str(), (root_ + "/link").c_str()), 0);
  EXPECT_FALSE(Mkdir(root_ + "/link/made").ok());
  EXPECT_FALSE(Mkdir(root_ + "/link:0755").ok());
  EXPECT_FALSE(base::Exists(outside + "/made"));
  EXPECT_THAT(base::RemoveTree(outside), IsOk());
}

TEST_F(MountTransformersTest, MkdirRefusesMalformedOptions) {
  for (const char* tail : {":", ":9", ":0755:1", ":0755:a:1", ":777777"}) {
    EXPECT_THAT(Mkdir(root_ + "/d" + tail), StatusIs(absl::StatusCode::kInvalidArgument)) << tail;
  }
}

TEST_F(MountTransformersTest, MkfsMakesAFileOnce) {
  if (::access("/sbin/mkfs.ext4", X_OK) != 0) GTEST_SKIP() << "needs mkfs.ext4";
  const base::Mount original{"mkfs/ext4",
                             root_ + "/disk",
                             "",
                             {"X-containerd.mkfs.size=8MiB", "loop",
                              "X-containerd.mkfs.uuid=6ba7b810-9dad-11d1-80b4-00c04fd430c8"}};
  base::Mount mount = original;
  ASSERT_THAT(Apply(mount), IsOk());
  EXPECT_EQ(mount.type, "ext4");
  EXPECT_THAT(mount.options, ElementsAre("loop"));
  EXPECT_EQ(ModeOf("/disk"), 0640);
  struct stat first = {}, second = {};
  ASSERT_EQ(::stat(mount.source.c_str(), &first), 0);
  EXPECT_EQ(first.st_size, 8 << 20);
  EXPECT_LT(first.st_blocks * 512, first.st_size);  // Sparse.
  mount = original;
  ASSERT_THAT(Apply(mount), IsOk());
  ASSERT_EQ(::stat(mount.source.c_str(), &second), 0);
  EXPECT_EQ(first.st_ino, second.st_ino);
  ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(root_));
  EXPECT_THAT(names, ElementsAre("disk"));
}

TEST_F(MountTransformersTest, MkfsRefusesMalformedOptions) {
  for (const std::string option : {"size=", "size=x", "size=-1", "size=8QiB", "size=99999999T",
                                   "fs=../sh", "fs=btrfs", "uuid=1", "other=1", ""}) {
    base::Mount mount{"mkfs/ext4", root_ + "/disk", "", {"X-containerd.mkfs." + option}};
    EXPECT_THAT(Apply(mount), StatusIs(absl::StatusCode::kInvalidArgument)) << option;
  }
  base::Mount no_size{"mkfs/ext4", root_ + "/disk", "", {}};
  EXPECT_THAT(Apply(no_size), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("size")));
}

TEST_F(MountTransformersTest, MkfsThatFailsLeavesNoFile) {
  base::Mount mount{"mkfs/ext4", root_ + "/disk", "", {"X-containerd.mkfs.size=1024"}};
  EXPECT_FALSE(Apply(mount).ok());
  ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(root_));
  EXPECT_THAT(names, IsEmpty());
}

}  // namespace
}  // namespace ctrd::mounts
