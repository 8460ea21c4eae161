// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/archive/tar_header.h"
#include "images/archive/tar_reader.h"
#include "images/archive/tar_writer.h"
#include "images/archive/testing/tar_builder.h"

namespace ctrd::archive {
namespace {

using base::IsOk;
using base::StatusIs;
using enum absl::StatusCode;

struct ReadEntry {
  TarEntry entry;
  std::string data;
};

absl::StatusOr<std::vector<ReadEntry>> ReadTar(std::string_view tar, size_t piece = 0) {
  MemorySource source(tar, piece);
  TarReader reader(source);
  std::vector<ReadEntry> entries;
  while (true) {
    ASSIGN_OR_RETURN(const TarEntry* entry, reader.Next());
    if (entry == nullptr) break;
    ReadEntry read = {.entry = *entry};
    while (true) {
      ASSIGN_OR_RETURN(const std::string_view data, reader.ReadData());
      if (data.empty()) break;
      read.data.append(data);
    }
    entries.push_back(std::move(read));
  }
  RETURN_IF_ERROR(reader.Drain());
  return entries;
}

// A header block with `patch` applied before its checksum is made.
template <typename Patch>
std::string RawHeader(const Patch& patch) {
  std::string block = TarBuilder().File("name", "").BuildOpen().substr(0, 512);
  patch(block);
  block.replace(148, 8, 8, ' ');
  int sum = 0;
  for (const char c : block) sum += static_cast<uint8_t>(c);
  return block.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}
std::string Padded(std::string data) {
  data.resize((data.size() + 511) / 512 * 512);
  return data;
}
std::string Extension(char type, const std::string& data) {
  return RawHeader([&](std::string& block) {
           block[156] = type;
           block.replace(124, 11, fmt::format("{:011o}", data.size()));
         }) +
         Padded(data);
}

TEST(Tar, EntriesComeBackAsWritten) {
  TarEntry big = {.name = std::string(150, 'n') + "/äöü",
                  .mode = 04755,
                  .uid = 3'000'000,
                  .gid = 4'000'000,
                  .mtime = {1234567890, 123456789},
                  .xattrs = {{"security.capability", std::string("\1\0\0\2", 4)}}};
  const std::string tar = TarBuilder()
                              .Directory("dir/", 01777)
                              .Add(big, "some data")
                              .Symlink(std::string(120, 't'), "link")
                              .Link("dir/file", "hard")
                              .Add({.name = "dev",
                                    .type = TarType::kBlockDevice,
                                    .mode = 0660,
                                    .device_major = 8,
                                    .device_minor = 17})
                              .Build();
  for (const size_t piece : {0, 1, 511, 513}) {
    ASSERT_OK_AND_ASSIGN(const auto entries, ReadTar(tar, piece));
    ASSERT_EQ(entries.size(), 5u);
    EXPECT_EQ(entries[0].entry.name, "dir/");
    EXPECT_EQ(entries[0].entry.mode, 01777u);
    EXPECT_EQ(entries[1].entry.name, big.name);
    EXPECT_EQ(entries[1].entry.uid, 3'000'000);
    EXPECT_EQ(entries[1].entry.gid, 4'000'000);
    EXPECT_EQ(entries[1].entry.mtime.tv_sec, 1234567890);
    EXPECT_EQ(entries[1].entry.mtime.tv_nsec, 123456789);
    EXPECT_EQ(entries[1].entry.xattrs, big.xattrs);
    EXPECT_EQ(entries[1].data, "some data");
    EXPECT_EQ(entries[2].entry.link, std::string(120, 't'));
    EXPECT_EQ(entries[3].entry.type, TarType::kHardLink);
    EXPECT_EQ(entries[4].entry.device_minor, 17u);
  }
}

TEST(Tar, HeadersHaveTheirExactBytes) {
  const std::string tar =
      TarBuilder().Add({.name = "etc/x", .mode = 0644, .uid = 5, .mtime = {0755, 0}}, "hi").Build();
  ASSERT_EQ(tar.size(), 2048u);
  EXPECT_EQ(tar.substr(0, 6), std::string("etc/x\0", 6));
  EXPECT_EQ(tar.substr(100, 48), std::string("0000644\0"
                                             "0000005\0"
                                             "0000000\0"
                                             "00000000002\0"
                                             "00000000755\0",
                                             48));
  EXPECT_EQ(tar.substr(154, 3), std::string("\0 0", 3));
  EXPECT_EQ(tar.substr(257, 8), std::string("ustar\0"
                                            "00",
                                            8));
  EXPECT_EQ(tar.substr(329, 16), std::string("0000000\0"
                                             "0000000\0",
                                             16));
  EXPECT_EQ(tar.substr(512, 3), std::string("hi\0", 3));
  EXPECT_EQ(tar.substr(1024), std::string(1024, '\0'));
}

TEST(Tar, PaxHeadersHaveTheirExactBytes) {
  const std::string name = "d/" + std::string(110, 'n');
  const std::string tar = TarBuilder().Symlink("t", name).Build();
  EXPECT_EQ(tar.substr(0, 100), "d/PaxHeaders.0/" + std::string(85, 'n'));
  EXPECT_EQ(tar[156], 'x');
  EXPECT_EQ(tar.substr(329, 16), std::string(16, '\0'));
  EXPECT_EQ(tar.substr(512, 123), "122 path=" + name + "\n" + std::string(1, '\0'));
  EXPECT_EQ(tar.substr(1024, 100), name.substr(0, 100));
}

TEST(Tar, AnEmptyArchiveIsTwoBlocksOfZeros) {
  EXPECT_EQ(TarBuilder().Build(), std::string(1024, '\0'));
}

TEST(Tar, ReadsGnuLongNames) {
  const std::string name(300, 'x');
  const std::string tar = Extension('L', name + '\0') +
                          Extension('K', std::string(200, 't') + '\0') +
                          TarBuilder().Symlink("short", "short").Build();
  ASSERT_OK_AND_ASSIGN(const auto entries, ReadTar(tar));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].entry.name, name);
  EXPECT_EQ(entries[0].entry.link, std::string(200, 't'));
}

TEST(Tar, ReadsPrefixBase256AndOldTypes) {
  const std::string tar = RawHeader([](std::string& block) {
                            block.replace(345, 6, "prefix");
                            block.replace(108, 8, std::string("\x80\0\0\0\0\x30\0\0", 8));
                            block.replace(136, 12, std::string(12, '\xff'));
                            block[156] = '\0';
                          }) +
                          RawHeader([](std::string& block) {
                            block.replace(0, 5, std::string("olds/"));
                            block[156] = '\0';
                          });
  ASSERT_OK_AND_ASSIGN(const auto entries, ReadTar(tar));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].entry.name, "prefix/name");
  EXPECT_EQ(entries[0].entry.uid, 0x300000);
  EXPECT_EQ(entries[0].entry.mtime.tv_sec, -1);
  EXPECT_EQ(entries[0].entry.type, TarType::kRegular);
  EXPECT_EQ(entries[1].entry.type, TarType::kDirectory);
}

TEST(Tar, GlobalHeadersAreEntriesAndChangeNothing) {
  const std::string tar = Extension('g', "16 path=global\n\n") + TarBuilder().File("f", "").Build();
  ASSERT_OK_AND_ASSIGN(const auto entries, ReadTar(tar));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].entry.type, TarType::kPaxGlobal);
  EXPECT_EQ(entries[1].entry.name, "f");
}

TEST(Tar, DataOfLinksAreNotSkipped) {
  const std::string link = RawHeader([](std::string& block) {
    block[156] = '1';
    block.replace(124, 11, "00000001000");  // Some writers repeat the size of the target.
  });
  ASSERT_OK_AND_ASSIGN(const auto entries, ReadTar(link + TarBuilder().File("f", "data").Build()));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].data, "data");
}

TEST(Tar, EveryCutInsideAnEntryIsAnError) {
  const std::string tar = TarBuilder().File("f", std::string(700, 'x')).Build();
  for (const size_t length : {1, 511, 513, 1000, 1211}) {
    EXPECT_FALSE(ReadTar(std::string_view(tar).substr(0, length)).ok()) << length;
  }
  EXPECT_THAT(ReadTar(""), IsOk());
  EXPECT_THAT(ReadTar(std::string_view(tar).substr(0, 1536)), IsOk());  // Only the end marker.
}

TEST(Tar, BadHeadersAreRefused) {
  const auto invalid = StatusIs(kUnknown, "archive/tar: invalid tar header");
  const std::string tar = TarBuilder().File("f", "").Build();
  EXPECT_THAT(ReadTar(std::string(tar).replace(0, 1, "g")), invalid);  // The checksum is wrong.
  EXPECT_THAT(ReadTar(RawHeader([](auto& b) { b.replace(124, 8, "99999999"); })), invalid);
  EXPECT_THAT(ReadTar(RawHeader([](auto& b) { b.replace(124, 12, 12, '\xff'); })), invalid);
  EXPECT_THAT(ReadTar(std::string(512, '\0') + tar), invalid);
}

TEST(Tar, BadPaxRecordsAreRefused) {
  for (const std::string records :
       {"x", "5 a=b", "6 ab\n\n", "99 path=a\n", "3 =\n", "-1 a=b\n", "18446744073709551615 a=b\n",
        "13 size=-100\n", "10 size=x\n", "12 mtime=1.x\n"}) {
    EXPECT_FALSE(ReadTar(Extension('x', records) + TarBuilder().File("f", "").Build()).ok())
        << records;
  }
  EXPECT_FALSE(ParsePaxRecords(std::string("9 path=\0\n", 9)).ok());
}

TEST(Tar, HeadersOfExtensionsAreBounded) {
  const std::string huge = RawHeader([](std::string& block) {
    block[156] = 'x';
    block.replace(124, 11, "77777777777");
  });
  EXPECT_THAT(ReadTar(huge), StatusIs(kUnknown, "archive/tar: header field too long"));
}

TEST(Tar, SparseFilesAreRefusedRatherThanMangled) {
  EXPECT_FALSE(
      ReadTar(Extension('x', "22 GNU.sparse.major=1\n") + TarBuilder().File("f", "").Build()).ok());
}

TEST(Tar, DrainReadsBehindTheEndMarker) {
  const std::string tar = TarBuilder().File("f", "x").Build() + std::string(100'000, 'z');
  MemorySource source(tar);
  HashingSource hashing(source);
  TarReader reader(hashing);
  while (*reader.Next() != nullptr) {
  }
  ASSERT_THAT(reader.Drain(), IsOk());
  EXPECT_EQ(hashing.digest(), base::Digest::Of(tar));
  EXPECT_EQ(hashing.size_bytes(), static_cast<int64_t>(tar.size()));
}

TEST(Tar, PaxTimesMayBeNegativeAndFine) {
  const auto time = ParsePaxTime("-1.5");
  ASSERT_TRUE(time.has_value());
  EXPECT_EQ(time->tv_sec, -2);
  EXPECT_EQ(time->tv_nsec, 500'000'000);
  EXPECT_EQ(ParsePaxTime("1.0000000019")->tv_nsec, 1);
  EXPECT_FALSE(ParsePaxTime("").has_value());
  EXPECT_FALSE(ParsePaxTime("1.2.3").has_value());
}

}  // namespace
}  // namespace ctrd::archive
