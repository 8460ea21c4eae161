// SPDX-License-Identifier: Apache-2.0
#include "snapshots/native/copy_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <random>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::snapshots {
namespace {

using base::IsOk;

class CopyTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "ctrd-copy-"));
    ASSERT_THAT(base::MakeDirectories(From(""), 0755), IsOk());
  }
  void TearDown() override { EXPECT_THAT(base::RemoveTree(directory_), IsOk()); }

  std::string From(const std::string& name) const { return directory_ + "/from/" + name; }
  std::string To(const std::string& name) const { return directory_ + "/to/" + name; }
  void Copy() const { ASSERT_THAT(CopyTree(directory_ + "/from", directory_ + "/to"), IsOk()); }
  static struct stat StatOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info;
  }
  void Write(const std::string& name, std::string_view data) const {
    ASSERT_THAT(base::WriteFileAtomically(From(name), data, 0644), IsOk());
  }

  std::string directory_;
};

TEST_F(CopyTreeTest, TimesOfFilesDirectoriesAndLinksAreKept) {
  ASSERT_THAT(base::MakeDirectories(From("dir/inner"), 0755), IsOk());
  Write("dir/inner/file", "x");
  ASSERT_EQ(::symlink("file", From("dir/inner/link").c_str()), 0);
  const std::array<timespec, 2> times = {timespec{1000, 1}, timespec{2000, 123456789}};
  for (const char* name : {"dir/inner/file", "dir/inner/link", "dir/inner", "dir", "."}) {
    ASSERT_EQ(::utimensat(AT_FDCWD, From(name).c_str(), times.data(), AT_SYMLINK_NOFOLLOW), 0);
  }
  Copy();
  for (const char* name : {"dir/inner/file", "dir/inner/link", "dir/inner", "dir", "."}) {
    const struct stat info = StatOf(To(name));
    EXPECT_EQ(info.st_mtim.tv_sec, 2000) << name;
    EXPECT_EQ(info.st_mtim.tv_nsec, 123456789) << name;
  }
}

TEST_F(CopyTreeTest, OwnersModesDevicesAndAttributesAreKept) {
  Write("file", "x");
  ASSERT_EQ(::mknod(From("null").c_str(), S_IFCHR | 0640, makedev(1, 3)), 0);
  ASSERT_EQ(::lchown(From("file").c_str(), 5, 6), 0);
  ASSERT_EQ(::chmod(From("file").c_str(), 06711), 0);
  ASSERT_EQ(::chmod(From(".").c_str(), 01777), 0);
  const bool attributes = ::setxattr(From("file").c_str(), "trusted.ctrd", "v", 1, 0) == 0;
  Copy();
  const struct stat file = StatOf(To("file"));
  EXPECT_EQ(file.st_uid, 5u);
  EXPECT_EQ(file.st_gid, 6u);
  EXPECT_EQ(file.st_mode & 07777, 06711u);
  EXPECT_EQ(StatOf(To(".")).st_mode & 07777, 01777u);
  EXPECT_TRUE(S_ISCHR(StatOf(To("null")).st_mode));
  EXPECT_EQ(StatOf(To("null")).st_rdev, makedev(1, 3));
  EXPECT_EQ(StatOf(To("null")).st_mode & 07777, 0640u);
  char value = 0;
  if (attributes) {
    EXPECT_EQ(::getxattr(To("file").c_str(), "trusted.ctrd", &value, 1), 1);
    EXPECT_EQ(value, 'v');
  }
}

TEST_F(CopyTreeTest, HardLinksStayLinks) {
  ASSERT_THAT(base::MakeDirectories(From("a/b"), 0755), IsOk());
  Write("one", "x");
  ASSERT_EQ(::link(From("one").c_str(), From("a/b/two").c_str()), 0);
  ASSERT_EQ(::link(From("one").c_str(), From("a/three").c_str()), 0);
  Copy();
  EXPECT_EQ(StatOf(To("one")).st_ino, StatOf(To("a/b/two")).st_ino);
  EXPECT_EQ(StatOf(To("one")).st_nlink, 3u);
  EXPECT_NE(StatOf(To("one")).st_ino, StatOf(From("one")).st_ino);
}

TEST_F(CopyTreeTest, DataIsKeptAndHolesStayHoles) {
  std::mt19937 random(1);
  std::string noise(300001, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  Write("data", noise);
  Write("empty", "");
  Write("sparse", "begin");
  ASSERT_EQ(::truncate(From("sparse").c_str(), 64 << 20), 0);
  Copy();
  EXPECT_EQ(base::ReadFile(To("data")).value(), noise);
  EXPECT_EQ(StatOf(To("empty")).st_size, 0);
  EXPECT_EQ(StatOf(To("sparse")).st_size, 64 << 20);
  EXPECT_LT(StatOf(To("sparse")).st_blocks * 512, 1 << 20);
}

TEST_F(CopyTreeTest, LinksThatLeadOutAreCopiedAsLinks) {
  ASSERT_EQ(::symlink("/etc", From("etc").c_str()), 0);
  Copy();
  EXPECT_TRUE(S_ISLNK(StatOf(To("etc")).st_mode));
}

}  // namespace
}  // namespace ctrd::snapshots
