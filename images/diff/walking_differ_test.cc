// SPDX-License-Identifier: Apache-2.0
#include "images/diff/walking_differ.h"

#include <sys/sysmacros.h>

#include "images/diff/testing/diff_fixture.h"

namespace ctrd::diff {
namespace {

using archive::Compression;
using archive::TarBuilder;
using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;
using enum absl::StatusCode;

using WalkingDifferTest = DiffFixture;

TEST_F(WalkingDifferTest, AppliesLayersOfEveryCompression) {
  const std::string tar = TarBuilder().File("a/f", "data").Build();
  for (const Compression compression :
       {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    const std::string name = fmt::format("root{}", static_cast<int>(compression));
    ASSERT_OK_AND_ASSIGN(
        const auto applied,
        Apply(Compress(compression, tar), "application/vnd.docker.image.rootfs.diff.tar.gzip",
              Bind(Make(name))));
    EXPECT_EQ(applied.media_type, kOciTar);
    EXPECT_EQ(applied.digest, base::Digest::Of(tar).text());
    EXPECT_EQ(applied.size_bytes, static_cast<int64_t>(tar.size()));
    EXPECT_EQ(Read(name + "/a/f"), "data");
  }
}

TEST_F(WalkingDifferTest, WhatFollowsTheArchiveIsHashedToo) {
  const std::string tar = TarBuilder().File("f", "data").Build() + std::string(9000, 'z');
  ASSERT_OK_AND_ASSIGN(const auto applied,
                       Apply(Compress(Compression::kGzip, tar), kOciGzip, Bind(Make("root"))));
  EXPECT_EQ(applied.digest, base::Digest::Of(tar).text());
}

TEST_F(WalkingDifferTest, AnEmptyBlobIsAnEmptyLayer) {
  ASSERT_OK_AND_ASSIGN(const auto applied, Apply("", kOciGzip, Bind(Make("root"))));
  EXPECT_EQ(applied.digest, base::Digest::Of("").text());
}

TEST_F(WalkingDifferTest, AnOverlayIsWrittenInItsUpperDirectoryWithoutMounting) {
  const std::string lower = Make("lower:1");
  ASSERT_THAT(base::MakeDirectories(lower + "/d", 0700), IsOk());
  const base::Mounts mounts = {
      {.type = "overlay",
       .source = "overlay",
       .options = {"index=off", "workdir=" + Make("work"), "upperdir=" + Make("upper"),
                   "lowerdir=" + Make("lower0") + ":" + top_ + "/lower\\:1"}}};
  ASSERT_OK_AND_ASSIGN(
      const auto applied,
      Apply(TarBuilder().File("d/f", "data").File(".wh.gone", "").Build(), kOciTar, mounts));
  EXPECT_EQ(Read("upper/d/f"), "data");
  struct stat file;
  ASSERT_EQ(::lstat((top_ + "/upper/gone").c_str(), &file), 0);
  EXPECT_TRUE(S_ISCHR(file.st_mode) && file.st_rdev == ::makedev(0, 0));
  ASSERT_EQ(::lstat((top_ + "/upper/d").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0700u);
  EXPECT_EQ(Has("work/work"), false);
}

TEST_F(WalkingDifferTest, OtherMountsAreMountedForTheTimeBeing) {
  Write("one", "");
  const std::string base = Make("base");
  Make("base/sub");
  const std::string other = Make("other");
  Write("other/old", "");
  const base::Mounts mounts = {
      {.type = "bind", .source = base, .options = {"rbind", "rw"}},
      {.type = "bind", .source = other, .target = "sub", .options = {"rbind", "rw"}}};
  ASSERT_OK_AND_ASSIGN(
      const auto applied,
      Apply(TarBuilder().File("sub/f", "data").File("sub/.wh.old", "").Build(), kOciTar, mounts));
  EXPECT_EQ(Read("other/f"), "data");
  EXPECT_FALSE(Has("other/old"));
}

TEST_F(WalkingDifferTest, AnUnknownBlobIsNotFound) {
  const std::string digest = base::Digest::Of("unknown").text();
  EXPECT_THAT(differ_->Apply(context_, {.media_type = kOciTar, .digest = digest}, {}, {}),
              StatusIs(kNotFound, "failed to get reader from content store: content digest " +
                                      digest + ": not found"));
}

TEST_F(WalkingDifferTest, WhatIsNoLayerHasNoProcessor) {
  EXPECT_THAT(Apply("x", "application/x", Bind(Make("root"))),
              StatusIs(kUnknown,
                       "failed to get stream processor for application/x: no processor for "
                       "media-type"));
}

TEST_F(WalkingDifferTest, ProgressIsToldInBytesOfTheBlob) {
  const std::string blob = Compress(Compression::kGzip, TarBuilder().File("f", "data").Build());
  int64_t seen = 0;
  ApplyOptions options;
  options.progress = [&](int64_t bytes) { seen = bytes; };
  ASSERT_THAT(Apply(blob, kOciGzip, Bind(Make("root")), options), IsOk());
  EXPECT_EQ(seen, static_cast<int64_t>(blob.size()));
}

TEST_F(WalkingDifferTest, ABrokenLayerIsAnErrorAndLeavesNoMount) {
  EXPECT_FALSE(Apply(std::string(600, 'x'), kOciTar, {}).ok());
}

class ProcessorTest : public DiffFixture {
 protected:
  void SetProcessor(const std::string& script, const std::string& returns = kOciGzip) {
    walking_.stream_processors = {{.id = "decode",
                                   .accepts = {"application/x-coded"},
                                   .returns = returns,
                                   .path = "/bin/sh",
                                   .args = {"-c", script},
                                   .environment = {"WORD=from config"}}};
    differ_ = OpenWalkingDiffer(content_, walking_);
  }
};

TEST_F(ProcessorTest, DecodesBeforeTheBuiltInOnes) {
  SetProcessor(
      "test \"$STREAM_PROCESSOR_MEDIATYPE\" = application/x-coded && "
      "test \"$WORD\" = 'from config' && tail -c +6");
  const std::string tar = TarBuilder().File("f", std::string(300'000, 'd')).Build();
  ASSERT_OK_AND_ASSIGN(const auto applied, Apply("CODED" + Compress(Compression::kGzip, tar),
                                                 "application/x-coded", Bind(Make("root"))));
  EXPECT_EQ(applied.digest, base::Digest::Of(tar).text());
  EXPECT_EQ(Read("root/f").size(), 300'000u);
}

TEST_F(ProcessorTest, GetsItsPayloadAsDescriptorThree) {
  SetProcessor("cat <&3 >&2; exit 7");
  ApplyOptions options;
  options.payloads["decode"] = {.type_url = "the.Type", .value = "secret"};
  EXPECT_THAT(Apply("x", "application/x-coded", Bind(Make("root")), options),
              StatusIs(kUnknown, testing::AllOf(HasSubstr("the.Type"), HasSubstr("secret"),
                                                HasSubstr("exit status 7"))));
}

TEST_F(ProcessorTest, ItsFailureIsTheErrorEvenAfterAWholeLayer) {
  SetProcessor("cat; echo 'bad key' >&2; exit 1", kOciTar);
  EXPECT_THAT(
      Apply(TarBuilder().File("f", "data").Build(), "application/x-coded", Bind(Make("root"))),
      StatusIs(kUnknown, HasSubstr("bad key")));
}

TEST_F(ProcessorTest, IsKilledWhenTheLayerIsBroken) {
  SetProcessor("head -c 1024 /dev/zero | tr '\\0' x; exec sleep 1000", kOciTar);
  EXPECT_FALSE(Apply(std::string(1 << 20, 'x'), "application/x-coded", Bind(Make("root"))).ok());
}

TEST_F(ProcessorTest, AChainThatLeadsNowhereEnds) {
  SetProcessor("cat", "application/x-coded");
  EXPECT_THAT(Apply("x", "application/x-coded", Bind(Make("root"))),
              StatusIs(kUnknown, HasSubstr("no processor for media-type")));
}

}  // namespace
}  // namespace ctrd::diff
