// SPDX-License-Identifier: Apache-2.0
#include "base/mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <future>

#include "base/files.h"
#include "base/mount_options.h"
#include "base/mount_source.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Works on a tmpfs of its own in a mount namespace of its own: nothing outlives the program.
class MountTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(root_, MakeTempDirectory("/tmp", "ctrd-mount-"));
    ASSERT_EQ(::mount("tmpfs", root_.c_str(), "tmpfs", 0, ""), 0);
    ASSERT_THAT(MakeDirectories(At("target"), 0755), IsOk());
  }
  void TearDown() override {
    if (root_.empty()) return;
    EXPECT_THAT(UnmountAll(root_), IsOk());
    EXPECT_EQ(::rmdir(root_.c_str()), 0);
  }

  std::string At(const std::string& name) const { return root_ + "/" + name; }
  std::string MakeDir(const std::string& name) const {
    EXPECT_THAT(MakeDirectories(At(name), 0755), IsOk());
    return At(name);
  }
  void Write(const std::string& name, std::string_view data) const {
    EXPECT_THAT(WriteFileAtomically(At(name), data, 0644), IsOk());
  }
  std::string Read(const std::string& name) const {
    return ReadFile(At(name)).value_or("<missing>");
  }
  Mount Bind(const std::string& source, std::vector<std::string> options = {"rbind", "rw"}) const {
    return {"bind", At(source), "", std::move(options)};
  }
  // How many mounts there are at or below the root of the test, without itself.
  int Mounted() const {
    const std::string table = ReadFile("/proc/self/mountinfo").value();
    int count = -1;
    for (size_t at = table.find(" " + root_); at != std::string::npos;
         at = table.find(" " + root_, table.find('\n', at))) {
      ++count;
    }
    return count;
  }
  // Directories "<prefix><i>" each with a file of its number, and the option that names them.
  std::string LowerDirectories(int count, const std::string& prefix) const {
    std::string option = "lowerdir=";
    for (int i = 0; i < count; ++i) {
      const std::string name = fmt::format("{}{}", prefix, i);
      MakeDir(name);
      Write(fmt::format("{}/file{}", name, i), std::to_string(i));
      Write(name + "/shared", std::to_string(i));
      option += (i == 0 ? "" : ":") + At(name);
    }
    return option;
  }

  std::string root_;
};

TEST_F(MountTest, BindShowsTheSource) {
  MakeDir("source");
  Write("source/file", "hello");
  ASSERT_THAT(MountAll({Bind("source")}, At("target")), IsOk());
  EXPECT_EQ(Read("target/file"), "hello");
  Write("target/other", "written");
  EXPECT_EQ(Read("source/other"), "written");
  EXPECT_THAT(UnmountAll(At("target")), IsOk());
  EXPECT_EQ(Read("target/file"), "<missing>");
}

TEST_F(MountTest, AReadOnlyBindRefusesWritesAndTheSourceDoesNot) {
  MakeDir("source");
  ASSERT_THAT(MountAll({Bind("source", {"ro", "rbind", "nosuid"})}, At("target")), IsOk());
  EXPECT_EQ(::mkdir(At("target/x").c_str(), 0755), -1);
  EXPECT_EQ(errno, EROFS);
  struct statvfs info = {};
  ASSERT_EQ(::statvfs(At("target").c_str(), &info), 0);
  EXPECT_TRUE(info.f_flag & ST_NOSUID);
  EXPECT_EQ(::mkdir(At("source/x").c_str(), 0755), 0);
}

TEST_F(MountTest, AFileCanBeBound) {
  Write("source", "a");
  Write("file", "b");
  ASSERT_THAT(MountAll({Bind("source")}, At("file")), IsOk());
  EXPECT_EQ(Read("file"), "a");
  EXPECT_THAT(UnmountAll(At("file")), IsOk());
  EXPECT_EQ(Read("file"), "b");
}

TEST_F(MountTest, TargetsLieBelowTheMountBefore) {
  MakeDir("source/etc");
  MakeDir("extra");
  Write("extra/file", "extra");
  Mount extra = Bind("extra");
  extra.target = "/etc";
  ASSERT_THAT(MountAll({Bind("source"), extra}, At("target")), IsOk());
  EXPECT_EQ(Read("target/etc/file"), "extra");
  EXPECT_EQ(Mounted(), 2);
  EXPECT_THAT(UnmountAll(At("target")), IsOk());
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(MountTest, ATargetCannotLeaveTheMountPoint) {
  MakeDir("source/inside");
  MakeDir("outside");
  ASSERT_EQ(::symlink(At("outside").c_str(), At("source/link").c_str()), 0);
  Mount extra = Bind("source");
  extra.target = "link";
  EXPECT_FALSE(MountAll({Bind("source"), extra}, At("target")).ok());
  extra.target = "../outside";
  EXPECT_FALSE(MountAll({Bind("source"), extra}, At("target")).ok());
  extra.target = "../inside";
  EXPECT_THAT(MountAll({Bind("source"), extra}, At("target")), IsOk());
}

TEST_F(MountTest, NothingStaysMountedAfterAFailure) {
  MakeDir("source/a/b");
  Mount inner = Bind("source");
  inner.target = "a";
  Mount bad{"no-such-type", "none", "", {}};
  EXPECT_FALSE(MountAll({Bind("source"), inner, inner, bad}, At("target")).ok());
  EXPECT_EQ(Mounted(), 0);
  Mount left_over = Bind("source", {"bind", "X-containerd.mkdir.path=/x"});
  EXPECT_THAT(MountAll({Bind("source"), left_over}, At("target")),
              StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("internal mount option")));
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(MountTest, AFailureTellsWhatWasTried) {
  EXPECT_THAT(
      MountAll({{"tmpfs", "none", "", {"nodev", "no-such-option"}}}, At("target")),
      StatusIs(absl::StatusCode::kUnknown,
               fmt::format("mount source: \"none\", target: \"{}\", fstype: tmpfs, flags: 4, "
                           "data: \"no-such-option\", err: invalid argument",
                           At("target"))));
  EXPECT_THAT(MountAll({Bind("missing")}, At("target")),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("err: no such file or directory")));
}

TEST_F(MountTest, OverlayOfAHundredAndThirtyLongLowerDirectories) {
  const std::string deep = std::string(100, 'l') + "/" + std::string(80, 'm');
  const std::string lower = LowerDirectories(130, deep + "/d");
  MakeDir("upper");
  MakeDir("work");
  const Mount overlay{"overlay",
                      "overlay",
                      "",
                      {"workdir=" + At("work"), "upperdir=" + At("upper"), lower, "index=off"}};
  ASSERT_GT(lower.size(), 20000u);
  ASSERT_THAT(MountAll({overlay}, At("target")), IsOk());
  EXPECT_EQ(Read("target/file0"), "0");
  EXPECT_EQ(Read("target/file129"), "129");
  EXPECT_EQ(Read("target/shared"), "0");  // The first one is the nearest.
  Write("target/new", "x");
  EXPECT_EQ(Read("upper/new"), "x");
  EXPECT_THAT(UnmountAll(At("target")), IsOk());
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(MountTest, OverlayOfLowerDirectoriesLongerThanOneString) {
  const std::string deep = std::string(200, 'l') + "/" + std::string(200, 'm');
  const std::string lower = LowerDirectories(12, deep + "/d");
  ASSERT_THAT(MountAll({{"overlay", "overlay", "", {lower}}}, At("target")), IsOk());
  EXPECT_EQ(Read("target/file11"), "11");
}

TEST_F(MountTest, OverlayOfManyLowerDirectoriesByRelativeNames) {
  ASSERT_OK_AND_ASSIGN(MountOptions options,
                       ParseMountOptions({LowerDirectories(130, std::string(60, 'l') + "/d")}));
  ASSERT_GT(options.JoinedData().size(), 4096u);
  const auto before = ::get_current_dir_name();
  ASSERT_TRUE(MountOverlayRelative(options, "overlay", At("target"))) << std::strerror(errno);
  EXPECT_STREQ(::get_current_dir_name(), before);
  EXPECT_EQ(Read("target/file129"), "129");
  EXPECT_EQ(Read("target/shared"), "0");
  std::free(before);
}

TEST_F(MountTest, AFailedLongOverlayLeavesNothing) {
  const std::string lower = LowerDirectories(130, std::string(60, 'l') + "/d") + ":/no/such";
  const absl::Status status = MountAll({{"overlay", "overlay", "", {lower}}}, At("target"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnknown, HasSubstr("/no/such")));
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(MountTest, LoopMountsAFileAndLetsTheDeviceGo) {
  if (!Exists("/dev/loop-control") || !Exists("/sbin/mkfs.ext4")) {
    GTEST_SKIP() << "needs loop devices and mkfs.ext4";
  }
  Write("image", "");
  ASSERT_EQ(::truncate(At("image").c_str(), 8 << 20), 0);
  ASSERT_EQ(std::system(("mkfs.ext4 -q -F " + At("image")).c_str()), 0);
  ASSERT_THAT(MountAll({{"ext4", At("image"), "", {"loop", "rw"}}}, At("target")), IsOk());
  Write("target/file", "kept");
  ASSERT_THAT(UnmountAll(At("target")), IsOk());
  ASSERT_THAT(MountAll({{"ext4", At("image"), "", {"loop", "ro"}}}, At("target")), IsOk());
  EXPECT_EQ(Read("target/file"), "kept");
  EXPECT_NE(::mkdir(At("target/x").c_str(), 0755), 0);
  ASSERT_THAT(UnmountAll(At("target")), IsOk());
}

TEST_F(MountTest, AnIdMappedBindShowsOtherOwners) {
  MakeDir("source");
  Write("source/file", "x");
  const absl::Status status = MountAll(
      {Bind("source", {"rbind", "uidmap=0:1000:65536", "gidmap=0:2000:65536"})}, At("target"));
  if (!status.ok()) GTEST_SKIP() << "no id-mapped mounts of tmpfs: " << status.ToString();
  struct stat info = {};
  ASSERT_EQ(::stat(At("target/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 1000u);
  EXPECT_EQ(info.st_gid, 2000u);
}

TEST_F(MountTest, AnIdMappedOverlayShowsOtherOwnersAndLeavesNoClones) {
  const std::string lower = LowerDirectories(2, "lower");
  MakeDir("upper");
  MakeDir("work");
  ASSERT_EQ(::chown(At("upper").c_str(), 1000, 1000), 0);
  const absl::Status status =
      MountAll({{"overlay",
                 "overlay",
                 "",
                 {"uidmap=0:1000:65536", "gidmap=0:1000:65536", "workdir=" + At("work"),
                  "upperdir=" + At("upper"), lower}}},
               At("target"));
  if (!status.ok()) GTEST_SKIP() << "no id-mapped overlays: " << status.ToString();
  struct stat info = {};
  ASSERT_EQ(::stat(At("target/file0").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 1000u);
  EXPECT_EQ(Read("target/file1"), "1");
  Write("target/new", "x");
  EXPECT_EQ(Read("upper/new"), "x");
  EXPECT_EQ(Mounted(), 1);
}

TEST_F(MountTest, PropagationIsChangedAfterTheMount) {
  MakeDir("source");
  ASSERT_THAT(MountAll({Bind("source", {"bind", "shared"})}, At("target")), IsOk());
  EXPECT_THAT(ReadFile("/proc/self/mountinfo").value(),
              HasSubstr(At("target") + " rw,relatime shared"));
}

TEST_F(MountTest, UnmountAllTakesStacksAndWhatIsBelow) {
  MakeDir("source/a");
  const std::string target = MakeDir("a name\\with\tblanks");
  MakeDir("a name\\with\tblanks/a");
  for (int i = 0; i < 3; ++i) ASSERT_THAT(MountAll({Bind("source")}, target), IsOk());
  ASSERT_THAT(MountAll({Bind("source")}, target + "/a"), IsOk());
  EXPECT_THAT(UnmountAll(target), IsOk());
  EXPECT_EQ(Mounted(), 0);
  EXPECT_THAT(UnmountAll(target), IsOk());
  EXPECT_THAT(UnmountAll(At("missing/path")), IsOk());
}

TEST_F(MountTest, ABusyMountIsDetachedInTheEnd) {
  MakeDir("source");
  Write("source/file", "held");
  ASSERT_THAT(MountAll({Bind("source")}, At("target")), IsOk());
  ASSERT_OK_AND_ASSIGN(UniqueFd held, Open(At("target/file"), O_RDONLY));
  EXPECT_THAT(UnmountAll(At("target")), IsOk());
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(MountTest, AnOverlayIsOutOfSightAtOnceAndEndsWithItsDescriptor) {
  const std::string options = fmt::format("lowerdir={},upperdir={},workdir={}", MakeDir("lower"),
                                          MakeDir("upper"), MakeDir("work"));
  for (int i = 0; i < 2; ++i) {
    const absl::Status mounted = MountAll({{"overlay", "overlay", "", {options}}}, At("target"));
    if (!mounted.ok()) GTEST_SKIP() << "no overlays on tmpfs: " << mounted.ToString();
    Write("target/file", "kept");
    ASSERT_OK_AND_ASSIGN(std::vector<UniqueFd> hidden, UnmountAllButOverlays(At("target")));
    EXPECT_EQ(Mounted(), 0);
    EXPECT_FALSE(Exists(At("target/file")));
    ASSERT_EQ(hidden.size(), 1u);
    // It is there for as long as somebody holds it.
    const UniqueFd file(::openat(hidden[0].get(), "file", O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(file.valid());
  }
  EXPECT_EQ(Read("upper/file"), "kept");
}

TEST_F(MountTest, AnUpperDirectoryThatIsStillHeldIsWaitedFor) {
  const std::string options = fmt::format("index=on,lowerdir={},upperdir={},workdir={}",
                                          MakeDir("lower"), MakeDir("upper"), MakeDir("work"));
  const Mounts mounts = {{"overlay", "overlay", "", {options}}};
  const absl::Status mounted = MountAll(mounts, At("target"));
  if (!mounted.ok()) GTEST_SKIP() << "no overlays with an index: " << mounted.ToString();
  ASSERT_OK_AND_ASSIGN(std::vector<UniqueFd> hidden, UnmountAllButOverlays(At("target")));
  auto again = std::async(std::launch::async, [&] { return MountAll(mounts, At("target")); });
  hidden.clear();
  EXPECT_THAT(again.get(), IsOk());
  EXPECT_EQ(Mounted(), 1);
}

TEST_F(MountTest, WhatIsNoOverlayIsUnmountedAtOnce) {
  MakeDir("source/below");
  ASSERT_THAT(MountAll({Bind("source"), Bind("source")}, At("target")), IsOk());
  ASSERT_THAT(MountAll({Bind("source")}, At("target/below")), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<UniqueFd> hidden, UnmountAllButOverlays(At("target")));
  EXPECT_TRUE(hidden.empty());
  EXPECT_EQ(Mounted(), 0);
  EXPECT_THAT(UnmountAllButOverlays(At("missing/path")), IsOk());
}

TEST_F(MountTest, UnmountAllFindsAMountBelowADirectoryThatIsNone) {
  MakeDir("source");
  const std::string below = MakeDir("target/a/b");
  ASSERT_THAT(MountAll({Bind("source")}, below), IsOk());
  EXPECT_THAT(UnmountAll(At("target")), IsOk());
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(MountTest, ATemporaryMountLivesAsLongAsItsObject) {
  MakeDir("source");
  Write("source/file", "x");
  std::string path;
  {
    ASSERT_OK_AND_ASSIGN(TempMount mount, TempMount::Create(root_, {Bind("source")}));
    path = mount.path();
    EXPECT_THAT(path, StartsWith(At("containerd-mount")));
    EXPECT_TRUE(Exists(path + "/file"));
    struct stat info = {};
    ASSERT_OK_AND_ASSIGN(TempMount empty, TempMount::Create(root_, {}));
    ASSERT_EQ(::stat(empty.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700u);
  }
  EXPECT_FALSE(Exists(path));
  EXPECT_EQ(Mounted(), 0);
  EXPECT_EQ(Read("source/file"), "x");
  EXPECT_FALSE(TempMount::Create(root_, {Bind("missing")}).ok());
  EXPECT_THAT(ListDirectory(root_).value(), ElementsAre("source", "target"));
}

TEST_F(MountTest, LeftoversOfACrashAreUnmountedAndRemoved) {
  MakeDir("source");
  Write("source/file", "x");
  const std::string left = MakeDir("tmp/containerd-mount123");
  MakeDir("tmp/other");
  ASSERT_THAT(MountAll({Bind("source")}, left), IsOk());
  EXPECT_THAT(RemoveLeftoverTempMounts(At("tmp")), IsOk());
  EXPECT_THAT(ListDirectory(At("tmp")).value(), ElementsAre("other"));
  EXPECT_EQ(Read("source/file"), "x");
  EXPECT_THAT(RemoveLeftoverTempMounts(At("missing")), IsOk());
}

TEST(MountListTest, ReadOnlyTurnsAnOverlayIntoItsLowerDirectories) {
  const Mounts mounts = {{"overlay",
                          "overlay",
                          "",
                          {"uidmap=0:1:2", "gidmap=0:1:2", "workdir=/w", "upperdir=/u:1",
                           "lowerdir=/a:/b", "index=off"}},
                         {"bind", "/s", "t", {"rw", "rbind"}}};
  const Mounts read_only = ReadOnly(mounts);
  EXPECT_THAT(read_only[0].options, ElementsAre("lowerdir=/u\\:1:/a:/b", "index=off"));
  EXPECT_THAT(read_only[1].options, ElementsAre("rbind", "ro"));
}

TEST(MountListTest, TemporaryMountsAreNotVolatile) {
  const Mounts mounts = {{"overlay", "overlay", "", {"volatile", "lowerdir=/a", "fsync=volatile"}},
                         {"tmpfs", "tmpfs", "", {"volatile"}}};
  const Mounts temporary = ForTemporaryUse(mounts);
  EXPECT_THAT(temporary[0].options, ElementsAre("lowerdir=/a"));
  EXPECT_THAT(temporary[1].options, ElementsAre("volatile"));
}

}  // namespace
}  // namespace ctrd::base
