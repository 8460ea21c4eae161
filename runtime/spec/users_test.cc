// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/users.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"

namespace ctrd::runtime {
namespace {

using testing::HasSubstr;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "app:x:1000:1001::/:/bin/sh\n"
    "4294967296:x:0:0::/:/bin/sh\n"
    "broken:x:4294967296:0::/:/bin/sh\n"
    "negative:x:-1:0::/:/bin/sh\n"
    "# comment\n"
    "short:x\n";
constexpr char kGroup[] =
    "root:x:0:\n"
    "staff:x:50:app,root\n"
    "app:x:1001:app\n"
    "disk:x:6:app\n"
    "4294967296:x:0:\n"
    "huge:x:4294967296:app\n";

absl::StatusOr<std::string> ReadTestFile(const std::string& path) {
  return std::string(path == "etc/passwd" ? kPasswd : kGroup);
}

absl::StatusOr<std::string> NoFiles(const std::string& path) {
  return base::WithCode(base::Unknown("open {}: no such file or directory", path),
                        absl::StatusCode::kNotFound);
}

absl::StatusOr<UserIds> FromImage(std::string_view user) {
  return ResolveUser(user, Memberships::kOfResultingUser, ReadTestFile);
}

absl::StatusOr<UserIds> FromCommandLine(std::string_view user) {
  return ResolveUser(user, Memberships::kOfGivenText, ReadTestFile);
}

TEST(ResolveUserTest, TableOfForms) {
  const std::vector<std::pair<std::string, UserIds>> cases = {
      {"", {0, 0, {0, 50}}},
      {"app", {1000, 1001, {1001, 50, 6}}},
      {"1000", {1000, 1001, {1001, 50, 6}}},
      {"app:staff", {1000, 50, {50, 6}}},
      {"1000:50", {1000, 50, {50, 6}}},
      {"1000:staff", {1000, 50, {50, 6}}},
      {"app:7", {1000, 7, {7, 50, 6}}},
      {"4711", {4711, 0, {0}}},
      {"2147483647", {2147483647, 0, {0}}},
  };
  for (const auto& [user, expected] : cases) {
    const auto ids = FromImage(user);
    ASSERT_TRUE(ids.ok()) << user << ": " << ids.status();
    EXPECT_EQ(ids->uid, expected.uid) << user;
    EXPECT_EQ(ids->gid, expected.gid) << user;
    EXPECT_EQ(ids->additional_gids, expected.additional_gids) << user;
  }
}

TEST(ResolveUserTest, CommandLineLooksUpMembershipsOfTheLiteralText) {
  ASSERT_OK_AND_ASSIGN(const UserIds by_name, FromCommandLine("app"));
  EXPECT_EQ(by_name.additional_gids, (std::vector<uint32_t>{1001, 50, 6}));
  ASSERT_OK_AND_ASSIGN(const UserIds by_number, FromCommandLine("1000"));
  EXPECT_EQ(by_number.additional_gids, (std::vector<uint32_t>{1001}));
  ASSERT_OK_AND_ASSIGN(const UserIds with_group, FromCommandLine("app:staff"));
  EXPECT_EQ(with_group.additional_gids, (std::vector<uint32_t>{50}));
}

TEST(ResolveUserTest, ANumberThatDoesNotFitIsNeverRoot) {
  for (const char* user : {"2147483648", "4294967295", "4294967296", "18446744073709551616", "-1",
                           "99999999999999999999999", "4294967296:0", "-1:0", "+0"}) {
    EXPECT_THAT(FromImage(user).status().ToString(), HasSubstr("uid out of range")) << user;
    EXPECT_THAT(FromCommandLine(user).status().ToString(), HasSubstr("uid out of range")) << user;
  }
  for (const char* user : {"1:4294967296", "1:-1", "app:2147483648", "1000:4294967295"}) {
    EXPECT_THAT(FromImage(user).status().ToString(), HasSubstr("gid out of range")) << user;
  }
}

TEST(ResolveUserTest, LinesOutOfRangeStandForNobody) {
  EXPECT_FALSE(FromImage("broken").ok());
  EXPECT_FALSE(FromImage("negative").ok());
  EXPECT_FALSE(FromImage("app:huge").ok());
}

TEST(ResolveUserTest, UnknownNames) {
  EXPECT_EQ(base::MessageOf(FromImage("nobody").status()), "no users found");
  EXPECT_EQ(base::MessageOf(FromImage("app:nogroup").status()), "no groups found");
  EXPECT_EQ(base::MessageOf(FromImage("a:b:c").status()), "invalid USER value a:b:c");
}

TEST(ResolveUserTest, WithoutFilesNumbersStillWork) {
  ASSERT_OK_AND_ASSIGN(const UserIds ids,
                       ResolveUser("1000", Memberships::kOfResultingUser, NoFiles));
  EXPECT_EQ(ids, (UserIds{1000, 0, {0}}));
  EXPECT_FALSE(ResolveUser("app", Memberships::kOfResultingUser, NoFiles).ok());
}

class AccountFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto root = base::MakeTempDirectory(testing::TempDir(), "accounts");
    ASSERT_TRUE(root.ok());
    root_ = *root;
    ASSERT_EQ(::mkdir((root_ + "/etc").c_str(), 0755), 0);
  }
  void TearDown() override { (void)base::RemoveTree(root_); }

  std::string root_;
};

TEST_F(AccountFilesTest, AbsoluteLinksStayInside) {
  ASSERT_THAT(base::WriteFileAtomically(root_ + "/passwd", "in:x:5:5\n", 0644), base::IsOk());
  ASSERT_EQ(::symlink("/passwd", (root_ + "/etc/passwd").c_str()), 0);
  ASSERT_OK_AND_ASSIGN(const std::string data, ReadAccountFilesBelow(root_)("etc/passwd"));
  EXPECT_EQ(data, "in:x:5:5\n");
}

TEST_F(AccountFilesTest, OnlyRegularFilesAreRead) {
  ASSERT_EQ(::mkfifo((root_ + "/etc/passwd").c_str(), 0644), 0);
  EXPECT_EQ(base::MessageOf(ReadAccountFilesBelow(root_)("etc/passwd").status()),
            "\"etc/passwd\" is not a regular file");
}

TEST_F(AccountFilesTest, HugeFilesAreRefused) {
  const std::string path = root_ + "/etc/group";
  auto file = base::Open(path, O_CREAT | O_WRONLY, 0644);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(::ftruncate(file->get(), off_t{4} << 30), 0);
  EXPECT_EQ(base::MessageOf(ReadAccountFilesBelow(root_)("etc/group").status()),
            "\"etc/group\" exceeds 10485760 bytes");
}

TEST_F(AccountFilesTest, AMissingFileIsNotFound) {
  EXPECT_THAT(ReadAccountFilesBelow(root_)("etc/group"),
              base::StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace ctrd::runtime
