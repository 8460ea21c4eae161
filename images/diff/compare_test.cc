// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "images/archive/tar_reader.h"
#include "images/diff/testing/diff_fixture.h"

namespace ctrd::diff {
namespace {

using archive::TarEntry;
using archive::TarType;
using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using enum absl::StatusCode;

class CompareTest : public DiffFixture {
 protected:
  void SetUp() override {
    DiffFixture::SetUp();
    if (IsSkipped()) return;
    left_ = Make("left");
    right_ = Make("right");
  }

  // The same file, with the same time, in both trees.
  void WriteBoth(const std::string& name, std::string_view text, int64_t nanoseconds = 5) {
    for (const char* side : {"left/", "right/"}) {
      Write(side + name, text);
      SetTime(side + name, 1000, nanoseconds);
    }
  }
  void SetTime(const std::string& name, int64_t seconds, int64_t nanoseconds = 5) {
    const timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (top_ + "/" + name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
  void MakeBoth(const std::string& name) {
    Make("left/" + name);
    Make("right/" + name);
  }

  absl::StatusOr<std::string> CompareTar(CompareOptions options = {}) {
    options.media_type = kOciTar;
    ASSIGN_OR_RETURN(const auto blob,
                     differ_->Compare(context_, Bind(left_), Bind(right_), options));
    return content::ReadBlob(context_, content_, *base::Digest::Parse(blob.digest));
  }
  // "<type> <name>[ -> <link>]" of each entry.
  std::vector<std::string> Entries(CompareOptions options = {}) {
    const auto tar = CompareTar(options);
    EXPECT_THAT(tar, IsOk());
    const std::string bytes = tar.value_or("");
    archive::MemorySource source(bytes);
    archive::TarReader reader(source);
    std::vector<std::string> lines;
    entries_.clear();
    for (auto entry = reader.Next(); entry.ok() && *entry != nullptr; entry = reader.Next()) {
      lines.push_back(fmt::format("{} {}", static_cast<char>((*entry)->type), (*entry)->name));
      if (!(*entry)->link.empty()) lines.back() += " -> " + (*entry)->link;
      entries_.push_back(**entry);
    }
    return lines;
  }

  std::string left_;
  std::string right_;
  std::vector<TarEntry> entries_;
};

TEST_F(CompareTest, EqualTreesGiveAnEmptyArchive) {
  WriteBoth("f", "data");
  MakeBoth("d");
  SetTime("right/d", 99);  // Times of directories do not count.
  ASSERT_OK_AND_ASSIGN(const std::string tar, CompareTar());
  EXPECT_EQ(tar, std::string(1024, '\0'));
}

TEST_F(CompareTest, TellsWhatWasAddedChangedAndDeletedInOrder) {
  MakeBoth("d");
  WriteBoth("d/same", "x");
  WriteBoth("d/changed", "old");
  Write("right/d/changed", "new!");
  Write("left/d/gone", "x");
  Make("left/e/below");
  Make("right/new/sub");
  Write("right/new/sub/f", "x");
  ASSERT_EQ(::symlink("target", (right_ + "/a").c_str()), 0);
  EXPECT_THAT(Entries(), ElementsAre("2 a -> target", "5 d/", "0 d/changed", "0 d/.wh.gone",
                                     "0 .wh.e", "5 new/", "5 new/sub/", "0 new/sub/f"));
  EXPECT_EQ(entries_[3].mode, 0u);
  EXPECT_EQ(entries_[3].mtime.tv_sec, 0);
}

TEST_F(CompareTest, ADirectoryBecomesAFileAndBack) {
  Make("left/a/below");
  Write("right/a", "file");
  Write("left/b", "file");
  Make("right/b/below");
  EXPECT_THAT(Entries(), ElementsAre("0 a", "5 b/", "5 b/below/"));
}

TEST_F(CompareTest, WholeSecondsAreNotTrusted) {
  WriteBoth("f", "one", 0);
  WriteBoth("same", "one", 0);
  Write("right/f", "two");
  SetTime("right/f", 1000, 0);
  WriteBoth("fine", "one", 5);
  Write("right/fine", "two");
  SetTime("right/fine", 1000, 5);
  EXPECT_THAT(Entries(), ElementsAre("0 f"));
}

TEST_F(CompareTest, OwnersModesAndCapabilitiesCount) {
  WriteBoth("mode", "");
  WriteBoth("owner", "");
  WriteBoth("cap", "");
  ASSERT_EQ(::chmod((right_ + "/mode").c_str(), 04755), 0);
  ASSERT_EQ(::chown((right_ + "/owner").c_str(), 5, 6), 0);
  const std::string capability(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00",
      20);
  ASSERT_EQ(::setxattr((right_ + "/cap").c_str(), "security.capability", capability.data(),
                       capability.size(), 0),
            0);
  EXPECT_THAT(Entries(), ElementsAre("0 cap", "0 mode", "0 owner"));
  EXPECT_EQ(entries_[0].xattrs["security.capability"], capability);
  EXPECT_EQ(entries_[1].mode, 04755u);
  EXPECT_EQ(entries_[2].uid, 5);
}

TEST_F(CompareTest, HardLinksStayTogether) {
  WriteBoth("b", "old");
  for (const std::string& side : {left_, right_}) {
    ASSERT_EQ(::link((side + "/b").c_str(), (side + "/a").c_str()), 0);
  }
  ASSERT_EQ(::link((right_ + "/a").c_str(), (right_ + "/c").c_str()), 0);
  // Adding a name does not change a and b, but what is written for c must stay one file with them.
  EXPECT_THAT(Entries(), ElementsAre("0 c", "1 a -> c", "1 b -> c"));
}

TEST_F(CompareTest, LaterNamesOfAChangedFileAreLinks) {
  Make("right/d");
  Write("right/d/one", "data");
  ASSERT_EQ(::link((right_ + "/d/one").c_str(), (right_ + "/d/two").c_str()), 0);
  EXPECT_THAT(Entries(), ElementsAre("5 d/", "0 d/one", "1 d/two -> d/one"));
}

TEST_F(CompareTest, SocketsAreSkippedAndDevicesKept) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  (right_ + "/s").copy(address.sun_path, sizeof(address.sun_path) - 1);
  base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::mkfifo((right_ + "/p").c_str(), 0600), 0);
  EXPECT_THAT(Entries(), ElementsAre("6 p"));
}

TEST_F(CompareTest, TheEpochBoundsTimes) {
  Write("right/old", "");
  SetTime("right/old", 100);
  Write("right/young", "");
  SetTime("right/young", 2000);
  EXPECT_THAT(Entries({.source_date_epoch = absl::FromUnixSeconds(1500)}),
              ElementsAre("0 old", "0 young"));
  EXPECT_EQ(entries_[0].mtime.tv_sec, 100);
  EXPECT_EQ(entries_[1].mtime.tv_sec, 1500);
}

TEST_F(CompareTest, CompressedBlobsTellTheirDiffId) {
  Write("right/f", "data");
  for (const char* type : {"", "application/vnd.oci.image.layer.v1.tar+zstd"}) {
    ASSERT_OK_AND_ASSIGN(const auto blob,
                         differ_->Compare(context_, Bind(left_), Bind(right_),
                                          {.media_type = type, .labels = {{"k", "v"}}}));
    EXPECT_EQ(blob.media_type, *type == '\0' ? kOciGzip : type);
    ASSERT_OK_AND_ASSIGN(const auto info,
                         content_.Stat(context_, *base::Digest::Parse(blob.digest)));
    EXPECT_EQ(info.size_bytes, blob.size_bytes);
    EXPECT_EQ(info.labels.at("k"), "v");
    ASSERT_OK_AND_ASSIGN(const auto applied,
                         differ_->Apply(context_, blob, Bind(Make("again")), {}));
    EXPECT_EQ(info.labels.at("containerd.io/uncompressed"), applied.digest);
    EXPECT_EQ(Read("again/f"), "data");
  }
}

TEST_F(CompareTest, ABlobThatWasThereGetsTheLabel) {
  Write("right/f", "data");
  ASSERT_OK_AND_ASSIGN(const auto blob, differ_->Compare(context_, Bind(left_), Bind(right_), {}));
  ASSERT_OK_AND_ASSIGN(const auto digest, base::Digest::Parse(blob.digest));
  ASSERT_THAT(content_.Update(context_, {.digest = digest, .labels = {{"mine", "1"}}}, {}), IsOk());
  ASSERT_THAT(differ_->Compare(context_, Bind(left_), Bind(right_), {}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto info, content_.Stat(context_, digest));
  EXPECT_TRUE(info.labels.contains("containerd.io/uncompressed"));
  EXPECT_TRUE(info.labels.contains("mine"));
}

TEST_F(CompareTest, AnEmptyListOfMountsIsAnEmptyDirectory) {
  Write("right/f", "data");
  EXPECT_THAT(differ_->Compare(context_, {}, Bind(right_), {}), IsOk());
}

TEST_F(CompareTest, AFailureLeavesNoRandomIngest) {
  Write("right/f", "data");
  content_.FailWrites(absl::ResourceExhaustedError("disk full"));
  EXPECT_THAT(differ_->Compare(context_, Bind(left_), Bind(right_), {}),
              StatusIs(kResourceExhausted));
  EXPECT_TRUE(content_.ListStatuses(context_, {})->empty());
}

TEST_F(CompareTest, OldDataOfAnIngestAreThrownAway) {
  ASSERT_THAT((*content_.OpenWriter(context_, {.ref = "mine"}))->Write("old"), IsOk());
  Write("right/f", "data");
  ASSERT_OK_AND_ASSIGN(const auto blob, differ_->Compare(context_, Bind(left_), Bind(right_),
                                                         {.media_type = kOciTar, .ref = "mine"}));
  EXPECT_EQ(blob.size_bytes, 2048);
}

}  // namespace
}  // namespace ctrd::diff
