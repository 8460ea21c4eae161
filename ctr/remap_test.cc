// SPDX-License-Identifier: Apache-2.0
#include "ctr/remap.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"

namespace ctrd::ctr {
namespace {

using base::IsOk;

const IdMaps kMaps = {{{0, 100000, 1000}, {5000, 7, 1}}, {{0, 200000, 1000}}};

TEST(ToHostIdTest, EachMapHasItsRange) {
  EXPECT_EQ(ToHostId(kMaps.uids, 0).value(), 100000U);
  EXPECT_EQ(ToHostId(kMaps.uids, 999).value(), 100999U);
  EXPECT_EQ(ToHostId(kMaps.uids, 5000).value(), 7U);
  EXPECT_FALSE(ToHostId(kMaps.uids, 1000).ok());
  EXPECT_FALSE(ToHostId(kMaps.uids, 4999).ok());
  EXPECT_FALSE(ToHostId({{4294967295, 0, 1}}, 0).ok());
}

class ShiftOwnersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(root_, base::MakeTempDirectory(testing::TempDir(), "shift"));
    ASSERT_THAT(base::MakeDirectories(root_ + "/a/b", 0755), IsOk());
    ASSERT_THAT(base::WriteFileAtomically(root_ + "/a/set", "x", 0644), IsOk());
    ASSERT_EQ(::chown((root_ + "/a/set").c_str(), 5, 6), 0);
    ASSERT_EQ(::chmod((root_ + "/a/set").c_str(), 06755), 0);
  }
  void TearDown() override {
    if (!root_.empty()) {
      EXPECT_THAT(base::RemoveTree(root_), IsOk());
    }
  }
  struct stat Look(const std::string& path) const {
    struct stat info {};
    EXPECT_EQ(::lstat((root_ + path).c_str(), &info), 0) << path;
    return info;
  }

  std::string root_;
};

TEST_F(ShiftOwnersTest, EverythingIsShiftedOnceAndKeepsItsMode) {
  ASSERT_EQ(::link((root_ + "/a/set").c_str(), (root_ + "/a/b/same").c_str()), 0);
  ASSERT_THAT(ShiftOwners(root_, kMaps), IsOk());
  for (const char* path : {"", "/a", "/a/b"}) EXPECT_EQ(Look(path).st_uid, 100000U) << path;
  EXPECT_EQ(Look("/a/b/same").st_uid, 100005U);
  EXPECT_EQ(Look("/a/set").st_gid, 200006U);
  EXPECT_EQ(Look("/a/set").st_mode & 07777U, 06755U);
}

TEST_F(ShiftOwnersTest, LinksAreShiftedAndNotFollowed) {
  ASSERT_OK_AND_ASSIGN(const std::string outside,
                       base::MakeTempDirectory(testing::TempDir(), "outside"));
  ASSERT_EQ(::symlink(outside.c_str(), (root_ + "/link").c_str()), 0);
  ASSERT_THAT(ShiftOwners(root_, kMaps), IsOk());
  EXPECT_EQ(Look("/link").st_uid, 100000U);
  struct stat info {};
  ASSERT_EQ(::stat(outside.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
  ASSERT_THAT(base::RemoveTree(outside), IsOk());
}

TEST_F(ShiftOwnersTest, AnOwnerThatNoMapHasIsAnError) {
  ASSERT_EQ(::chown((root_ + "/a/b").c_str(), 4000, 0), 0);
  EXPECT_EQ(base::MessageOf(ShiftOwners(root_, kMaps)),
            "owner of /a/b: container ID 4000 cannot be mapped to a host ID");
}

}  // namespace
}  // namespace ctrd::ctr
