// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, MakeTempDirectory("/tmp", "ctrd-files-"));
  }
  void TearDown() override { EXPECT_THAT(RemoveTree(directory_), IsOk()); }

  std::string PathOf(const std::string& name) const { return directory_ + "/" + name; }
  mode_t ModeOf(const std::string& path) const {
    struct stat info = {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  std::string directory_;
};

TEST_F(FilesTest, WritesAndReadsAWholeFile) {
  ASSERT_THAT(WriteFileAtomically(PathOf("a"), "old", 0600), IsOk());
  ASSERT_THAT(WriteFileAtomically(PathOf("a"), "new data", 0640, Durability::kSynced), IsOk());
  ASSERT_OK_AND_ASSIGN(std::string data, ReadFile(PathOf("a")));
  EXPECT_EQ(data, "new data");
  EXPECT_EQ(ModeOf(PathOf("a")), 0640u);
  ASSERT_OK_AND_ASSIGN(auto names, ListDirectory(directory_));
  EXPECT_THAT(names, ElementsAre("a"));
}

TEST_F(FilesTest, ReadingStopsAtTheLimit) {
  ASSERT_THAT(WriteFileAtomically(PathOf("a"), "12345", 0600), IsOk());
  EXPECT_THAT(ReadFile(PathOf("a"), 5), IsOk());
  EXPECT_THAT(ReadFile(PathOf("a"), 4), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(ReadFile("/dev/zero", 1000), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(FilesTest, AMissingFileIsNotFound) {
  EXPECT_THAT(ReadFile(PathOf("a")), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FilesTest, DirectoriesGetTheirModeWhateverTheUmask) {
  const mode_t old = ::umask(077);
  const absl::Status status = MakeDirectories(PathOf("a/b/c"), 0755);
  ::umask(old);
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(ModeOf(PathOf("a")), 0755u);
  EXPECT_EQ(ModeOf(PathOf("a/b/c")), 0755u);
  ASSERT_THAT(MakeDirectories(PathOf("a/b"), 0711), IsOk());
  EXPECT_EQ(ModeOf(PathOf("a/b")), 0711u);
}

TEST_F(FilesTest, ADirectoryCannotTakeThePlaceOfAFile) {
  ASSERT_THAT(WriteFileAtomically(PathOf("a"), "", 0600), IsOk());
  EXPECT_FALSE(MakeDirectories(PathOf("a"), 0755).ok());
  EXPECT_FALSE(MakeDirectories(PathOf("a/b"), 0755).ok());
}

TEST_F(FilesTest, LinksDoNotLeadOutOfARoot) {
  ASSERT_THAT(MakeDirectories(PathOf("root/etc"), 0755), IsOk());
  ASSERT_THAT(WriteFileAtomically(PathOf("root/etc/hosts"), "inside", 0600), IsOk());
  ASSERT_EQ(::symlink("/etc/hosts", PathOf("root/absolute").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../etc/hosts", PathOf("root/upward").c_str()), 0);
  ASSERT_EQ(::symlink("/proc/self/root", PathOf("root/magic").c_str()), 0);
  ASSERT_OK_AND_ASSIGN(UniqueFd root, Open(PathOf("root"), O_RDONLY | O_DIRECTORY));
  for (const char* path : {"etc/hosts", "/etc/hosts", "absolute", "upward", "../etc/hosts"}) {
    ASSERT_OK_AND_ASSIGN(UniqueFd fd, OpenInRoot(root.get(), path, O_RDONLY));
    EXPECT_THAT(ReadAll(fd.get(), path).value(), "inside") << path;
  }
  EXPECT_FALSE(OpenInRoot(root.get(), "magic/etc/hosts", O_RDONLY).ok());
}

TEST_F(FilesTest, RemovesATreeButNotWhatItsLinksShow) {
  ASSERT_THAT(MakeDirectories(PathOf("outside"), 0755), IsOk());
  ASSERT_THAT(WriteFileAtomically(PathOf("outside/kept"), "", 0600), IsOk());
  ASSERT_THAT(MakeDirectories(PathOf("tree/a/b"), 0755), IsOk());
  ASSERT_THAT(WriteFileAtomically(PathOf("tree/a/file"), "", 0600), IsOk());
  ASSERT_EQ(::symlink("../outside", PathOf("tree/link").c_str()), 0);
  ASSERT_EQ(::mkfifo(PathOf("tree/a/b/pipe").c_str(), 0600), 0);
  EXPECT_THAT(RemoveTree(PathOf("tree/")), IsOk());
  EXPECT_FALSE(Exists(PathOf("tree")));
  EXPECT_TRUE(Exists(PathOf("outside/kept")));
  EXPECT_THAT(RemoveTree(PathOf("tree")), IsOk());
  EXPECT_THAT(RemoveTree(PathOf("tree/below")), IsOk());
}

TEST_F(FilesTest, TreesDeeperThanAPathIsLongAreMeasuredAndRemoved) {
  constexpr int kDepth = 3000;
  const std::string name(20, 'd');
  ASSERT_THAT(MakeDirectories(PathOf("deep"), 0755), IsOk());
  ASSERT_OK_AND_ASSIGN(UniqueFd at, Open(PathOf("deep"), O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
    at = UniqueFd(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid());
  }
  at.Reset();
  ASSERT_OK_AND_ASSIGN(DiskUsage usage, MeasureTree(PathOf("deep")));
  EXPECT_EQ(usage.inodes, kDepth + 1);
  EXPECT_THAT(RemoveTree(PathOf("deep")), IsOk());
  EXPECT_FALSE(Exists(PathOf("deep")));
}

TEST_F(FilesTest, HardLinksAreMeasuredOnce) {
  ASSERT_THAT(MakeDirectories(PathOf("tree"), 0755), IsOk());
  ASSERT_THAT(WriteFileAtomically(PathOf("tree/a"), std::string(10000, 'x'), 0600), IsOk());
  ASSERT_OK_AND_ASSIGN(DiskUsage before, MeasureTree(PathOf("tree")));
  ASSERT_EQ(::link(PathOf("tree/a").c_str(), PathOf("tree/b").c_str()), 0);
  ASSERT_OK_AND_ASSIGN(DiskUsage after, MeasureTree(PathOf("tree")));
  EXPECT_EQ(before.inodes, 2);
  EXPECT_EQ(after.inodes, 2);
  EXPECT_EQ(before.size_bytes, after.size_bytes);
  EXPECT_GE(before.size_bytes, 10000);
}

TEST_F(FilesTest, AFailedReplacementLeavesNothingBehind) {
  ASSERT_THAT(MakeDirectories(PathOf("taken/by"), 0755), IsOk());
  EXPECT_FALSE(WriteFileAtomically(PathOf("taken"), "x", 0600).ok());
  ASSERT_OK_AND_ASSIGN(auto names, ListDirectory(directory_));
  EXPECT_THAT(names, ElementsAre("taken"));
  ASSERT_OK_AND_ASSIGN(auto none, ListDirectory(PathOf("taken/by")));
  EXPECT_THAT(none, IsEmpty());
}

}  // namespace
}  // namespace ctrd::base
