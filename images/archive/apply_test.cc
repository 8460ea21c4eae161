// SPDX-License-Identifier: Apache-2.0
#include "images/archive/apply.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "images/archive/testing/apply_fixture.h"

namespace ctrd::archive {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;
using enum absl::StatusCode;

using ApplyTest = ApplyFixture;

std::string Xattr(const std::string& path, const char* key) {
  char value[256];
  const ssize_t length = ::lgetxattr(path.c_str(), key, value, sizeof(value));
  return length < 0 ? "(none)" : std::string(value, static_cast<size_t>(length));
}

TEST_F(ApplyTest, FilesGetTheirMetadata) {
  ASSERT_THAT(Apply(TarBuilder().Add({.name = "f",
                                      .mode = 06751,
                                      .uid = 12,
                                      .gid = 34,
                                      .mtime = {1'500'000'000, 123},
                                      .atime = {7, 0},
                                      .xattrs = {{"user.k", "v"}, {"trusted.t", "no"}}},
                                     "data")),
              IsOk());
  const struct stat file = Stat("f");
  EXPECT_EQ(file.st_mode, static_cast<mode_t>(S_IFREG | 06751));
  EXPECT_EQ(file.st_uid, 12u);
  EXPECT_EQ(file.st_gid, 34u);
  EXPECT_EQ(file.st_mtim.tv_sec, 1'500'000'000);
  EXPECT_EQ(file.st_mtim.tv_nsec, 123);
  EXPECT_EQ(file.st_atim.tv_sec, 1'500'000'000);  // The later of the two.
  EXPECT_EQ(Text("f"), "data");
  EXPECT_EQ(Xattr(root() + "/f", "user.k"), "v");
  EXPECT_EQ(Xattr(root() + "/f", "trusted.t"), "(none)");
}

TEST_F(ApplyTest, EveryTypeIsMade) {
  ASSERT_THAT(Apply(TarBuilder()
                        .Directory("d", 01777)
                        .Add({.name = "c",
                              .type = TarType::kCharacterDevice,
                              .mode = 0620,
                              .device_major = 5,
                              .device_minor = 1})
                        .Add({.name = "b",
                              .type = TarType::kBlockDevice,
                              .mode = 0660,
                              .device_major = 7,
                              .device_minor = 9})
                        .Add({.name = "p", .type = TarType::kFifo, .mode = 0622})
                        .Symlink("anything/at/../all", "s")
                        .File("f", "x")
                        .Link("f", "h")),
              IsOk());
  EXPECT_EQ(Mode("d"), 01777u);
  EXPECT_EQ(Stat("c").st_rdev, ::makedev(5, 1));
  EXPECT_EQ(Mode("c"), 0620u);
  EXPECT_TRUE(S_ISBLK(Stat("b").st_mode));
  EXPECT_TRUE(S_ISFIFO(Stat("p").st_mode));
  EXPECT_EQ(Mode("p"), 0622u);
  EXPECT_EQ(Text("s"), "-> anything/at/../all");
  EXPECT_EQ(Stat("s").st_mtim.tv_sec, 1'000'000'000);
  EXPECT_TRUE(SameFile("f", "h"));
}

TEST_F(ApplyTest, DevicesAreSkippedInAUserNamespace) {
  ASSERT_THAT(
      Apply(TarBuilder().Add({.name = "c", .type = TarType::kCharacterDevice}).File("f", ""),
            {.in_user_namespace = true}),
      IsOk());
  EXPECT_FALSE(Has("c"));
  EXPECT_TRUE(Has("f"));
}

TEST_F(ApplyTest, UnknownTypesAreAnError) {
  EXPECT_THAT(Apply(TarBuilder().Add({.name = "f", .type = TarType('Z')})),
              StatusIs(kUnknown, "unhandled tar header type 90"));
}

TEST_F(ApplyTest, GlobalHeadersAreIgnored) {
  EXPECT_THAT(Apply(TarBuilder().Add({.name = "f", .type = TarType::kPaxGlobal})), IsOk());
  EXPECT_FALSE(Has("f"));
}

TEST_F(ApplyTest, TheRootKeepsItsMetadata) {
  ASSERT_THAT(Apply(TarBuilder().Directory("./", 0700).Directory("..", 0700).File("./f", "")),
              IsOk());
  EXPECT_EQ(::chmod(root().c_str(), 0755), 0);
  EXPECT_TRUE(Has("f"));
}

TEST_F(ApplyTest, NamesAreCleaned) {
  ASSERT_THAT(Apply(TarBuilder().File("/a//b/./c", "1").File("a/b/../d", "2")), IsOk());
  EXPECT_EQ(Text("a/b/c"), "1");
  EXPECT_EQ(Text("a/d"), "2");
}

TEST_F(ApplyTest, AFileReplacesAnythingAndDirectoriesMerge) {
  ASSERT_THAT(Apply(TarBuilder()
                        .File("d/x/y", "old")
                        .File("f", "old")
                        .Directory("m", 0700)
                        .File("m/kept", "old")),
              IsOk());
  ASSERT_THAT(Apply(TarBuilder().File("d", "new").Directory("f").Directory("m", 0711)), IsOk());
  EXPECT_EQ(Text("d"), "new");
  EXPECT_TRUE(S_ISDIR(Stat("f").st_mode));
  EXPECT_EQ(Mode("m"), 0711u);
  EXPECT_EQ(Text("m/kept"), "old");
}

TEST_F(ApplyTest, DirectoryTimesHoldAfterWhatCameInside) {
  ASSERT_THAT(Apply(TarBuilder()
                        .Add({.name = "d",
                              .type = TarType::kDirectory,
                              .mode = 0755,
                              .mtime = {1'111'111'111, 5}})
                        .File("d/f", "")
                        .Link("d/f", "d/g")),
              IsOk());
  EXPECT_EQ(Stat("d").st_mtim.tv_sec, 1'111'111'111);
  EXPECT_EQ(Stat("d").st_mtim.tv_nsec, 5);
}

TEST_F(ApplyTest, TimesOutOfRangeBecomeTheEpoch) {
  ASSERT_THAT(Apply(TarBuilder()
                        .Add({.name = "old", .mtime = {-5, 0}})
                        .Add({.name = "far", .mtime = {9'300'000'000, 0}})),
              IsOk());
  EXPECT_EQ(Stat("old").st_mtim.tv_sec, 0);
  EXPECT_EQ(Stat("far").st_mtim.tv_sec, 0);
}

TEST_F(ApplyTest, OwnersThatDoNotFitAreAnErrorAndNeverRoot) {
  EXPECT_THAT(Apply(TarBuilder().Add({.name = "f", .uid = int64_t{1} << 32})),
              StatusIs(kUnknown, HasSubstr("out of range")));
}

TEST_F(ApplyTest, AParentThatIsNoDirectoryIsAnError) {
  EXPECT_THAT(Apply(TarBuilder().File("f", "").File("f/x", "")),
              StatusIs(kFailedPrecondition, HasSubstr("Not a directory")));
}

TEST_F(ApplyTest, LinksInACircleAreTooMany) {
  EXPECT_THAT(Apply(TarBuilder().Symlink("b", "a").Symlink("a", "b").File("a/x", "")),
              StatusIs(kUnknown, "too many links"));
}

TEST_F(ApplyTest, FollowsMoreLinksThanTheKernel) {
  TarBuilder tar;
  tar.Directory("l0");
  for (int i = 1; i <= 100; ++i) tar.Symlink(fmt::format("l{}", i - 1), fmt::format("l{}", i));
  ASSERT_THAT(Apply(tar.File("l100/x", "deep").Build()), IsOk());
  EXPECT_EQ(Text("l0/x"), "deep");
}

TEST_F(ApplyTest, MissingParentsArePlain) {
  ASSERT_THAT(Apply(TarBuilder().File("a/b/c", "")), IsOk());
  EXPECT_EQ(Mode("a"), 0755u);
  EXPECT_EQ(Mode("a/b"), 0755u);
  EXPECT_EQ(Stat("a").st_uid, 0u);
}

TEST_F(ApplyTest, MissingParentsAreCopiedUpFromTheNearestLower) {
  ASSERT_THAT(base::MakeDirectories(lower(1) + "/a", 01750), IsOk());
  ASSERT_EQ(::chown((lower(1) + "/a").c_str(), 7, 8), 0);
  ASSERT_EQ(::setxattr((lower(1) + "/a").c_str(), "user.k", "v", 1, 0), 0);
  ASSERT_EQ(::setxattr((lower(1) + "/a").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  const timespec times[2] = {{1'234, 0}, {5'678, 9}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (lower(1) + "/a").c_str(), times, 0), 0);
  ASSERT_THAT(base::MakeDirectories(lower(2) + "/a", 0700), IsOk());
  ASSERT_THAT(base::MakeDirectories(lower(2) + "/only2", 0711), IsOk());
  ASSERT_THAT(base::WriteFileAtomically(lower(1) + "/file", "", 0600), IsOk());
  ASSERT_THAT(base::MakeDirectories(lower(2) + "/file", 0700), IsOk());
  ASSERT_THAT(Apply(TarBuilder().File("a/f", "").File("only2/f", "").File("file/f", ""),
                    Overlay({lower(1), lower(2)})),
              IsOk());
  EXPECT_EQ(Mode("a"), 01750u);
  EXPECT_EQ(Stat("a").st_uid, 7u);
  EXPECT_EQ(Stat("a").st_gid, 8u);
  EXPECT_EQ(Stat("a").st_mtim.tv_sec, 5'678);
  EXPECT_EQ(Xattr(root() + "/a", "user.k"), "v");
  EXPECT_EQ(Xattr(root() + "/a", "trusted.overlay.opaque"), "(none)");
  EXPECT_EQ(Mode("only2"), 0711u);
  EXPECT_EQ(Mode("file"), 0755u);  // The nearest decides, and has no directory.
}

TEST_F(ApplyTest, AMissingParentIsRefusedWhileTheLowersAreUnknown) {
  ApplyTarOptions alone;
  alone.whiteouts = WhiteoutMode::kOverlay;
  alone.lowers_unknown = true;
  EXPECT_THAT(Apply(TarBuilder().Directory("a").File("a/f", "").File("a/.wh.g", ""), alone),
              IsOk());
  EXPECT_THAT(Apply(TarBuilder().File("b/f", ""), alone), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(Apply(TarBuilder().File("c/.wh.f", ""), alone), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(ApplyTest, LowersAreSearchedInsideThemselves) {
  ASSERT_EQ(::symlink(outside().c_str(), (lower(1) + "/a").c_str()), 0);
  ASSERT_EQ(::chmod((outside() + "/dir").c_str(), 0700), 0);
  ASSERT_THAT(Apply(TarBuilder().File("a/dir/f", ""), Overlay({lower(1)})), IsOk());
  EXPECT_EQ(Mode("a/dir"), 0755u);
}

TEST_F(ApplyTest, WhiteoutsRemoveInRemovalMode) {
  ASSERT_THAT(Apply(TarBuilder().File("d/x/y", "").File("keep", "")), IsOk());
  ASSERT_THAT(Apply(TarBuilder().File(".wh.d", "").File(".wh.missing", "")), IsOk());
  EXPECT_FALSE(Has("d"));
  EXPECT_FALSE(Has(".wh.d"));
  EXPECT_TRUE(Has("keep"));
}

TEST_F(ApplyTest, OpaqueRemovesWhatThisLayerDidNotWrite) {
  ASSERT_THAT(Apply(TarBuilder().File("d/old", "").File("d/sub/old", "").File("d/both", "old")),
              IsOk());
  ASSERT_THAT(Apply(TarBuilder()
                        .File("d/before", "")
                        .File("d/sub/new", "")
                        .File("d/both", "new")
                        .File("d/.wh..wh..opq", "")
                        .File("d/after", "")),
              IsOk());
  EXPECT_EQ(*base::ListDirectory(root() + "/d"),
            (std::vector<std::string>{"after", "before", "both", "sub"}));
  EXPECT_EQ(*base::ListDirectory(root() + "/d/sub"), (std::vector<std::string>{"new"}));
}

TEST_F(ApplyTest, WhiteoutsBecomeDevicesInOverlayMode) {
  ASSERT_THAT(
      Apply(TarBuilder().Add({.name = "d/.wh.gone", .uid = 3, .gid = 4}).File("e/.wh..wh..opq", ""),
            Overlay()),
      IsOk());
  const struct stat gone = Stat("d/gone");
  EXPECT_TRUE(S_ISCHR(gone.st_mode));
  EXPECT_EQ(gone.st_rdev, ::makedev(0, 0));
  EXPECT_EQ(gone.st_uid, 3u);
  EXPECT_EQ(Xattr(root() + "/e", "trusted.overlay.opaque"), "y");
  EXPECT_FALSE(Has("e/.wh..wh..opq"));
  EXPECT_FALSE(Has("d/.wh.gone"));
}

TEST_F(ApplyTest, AnOverlayWhiteoutOfSomethingThatIsThereAlreadyExists) {
  EXPECT_THAT(Apply(TarBuilder().File("f", "").File(".wh.f", ""), Overlay()),
              StatusIs(kAlreadyExists));
}

TEST_F(ApplyTest, ADirectoryThatReplacesItsWhiteoutIsOpaque) {
  ASSERT_THAT(Apply(TarBuilder().File(".wh.d", "").Directory("d"), Overlay()), IsOk());
  EXPECT_EQ(Xattr(root() + "/d", "trusted.overlay.opaque"), "y");
}

TEST_F(ApplyTest, WhiteoutsThatWouldLeaveTheirDirectoryAreInvalid) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh.."}) {
    EXPECT_THAT(Apply(TarBuilder().File(name, "")),
                StatusIs(kUnknown, HasSubstr("invalid whiteout name: .wh.")))
        << name;
  }
  EXPECT_THAT(Apply(TarBuilder().File("d/.wh...", "")),
              StatusIs(kUnknown, "invalid whiteout name: .wh...: invalid archive"));
}

TEST_F(ApplyTest, AllOfTheStreamIsRead) {
  const std::string tar = TarBuilder().File("f", "x").Build() + std::string(70'000, '!');
  MemorySource source(tar);
  HashingSource hashing(source);
  ASSERT_OK_AND_ASSIGN(const auto directory, base::Open(root(), O_RDONLY | O_DIRECTORY));
  ASSERT_THAT(ApplyTar(base::Context("test"), hashing, directory.get(), {}), IsOk());
  EXPECT_EQ(hashing.digest(), base::Digest::Of(tar));
}

TEST_F(ApplyTest, ACancelledCallStops) {
  const std::string tar = TarBuilder().File("f", "x").Build();
  MemorySource source(tar);
  ASSERT_OK_AND_ASSIGN(const auto directory, base::Open(root(), O_RDONLY | O_DIRECTORY));
  const base::Context context("test");
  context.Cancel();
  EXPECT_THAT(ApplyTar(context, source, directory.get(), {}), StatusIs(kCancelled));
}

}  // namespace
}  // namespace ctrd::archive
