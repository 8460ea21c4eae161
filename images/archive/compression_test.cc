// SPDX-License-Identifier: Apache-2.0
#include "images/archive/compression.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/archive/testing/tar_builder.h"

namespace ctrd::archive {
namespace {

using base::IsOk;
using base::StatusIs;

std::string Pack(Compression compression, std::string_view data) {
  StringSink sink;
  auto compressor = OpenCompressor(compression, sink);
  EXPECT_THAT(compressor, IsOk());
  EXPECT_THAT((*compressor)->Write(data), IsOk());
  EXPECT_THAT((*compressor)->Finish(), IsOk());
  return std::move(sink.text);
}

// `piece`: how many bytes arrive at once; `room`: how many are asked for.
absl::StatusOr<std::string> Unpack(std::string_view packed, size_t piece = 0, size_t room = 4096) {
  MemorySource source(packed, piece);
  ASSIGN_OR_RETURN(const auto plain, OpenDecompressor(source));
  std::string text;
  std::string buffer(room, '\0');
  while (true) {
    ASSIGN_OR_RETURN(const size_t count, plain->Read(buffer));
    if (count == 0) return text;
    text.append(buffer, 0, count);
  }
}

std::string Sample() {
  std::string text;
  for (int i = 0; i < 60'000; ++i) text += fmt::format("line {} {}\n", i, i * 7919 % 1000);
  return text;
}

constexpr Compression kAll[] = {Compression::kNone, Compression::kGzip, Compression::kZstd};

TEST(Compression, BringsBackWhatWasCompressed) {
  const std::string sample = Sample();
  for (const Compression compression : kAll) {
    const std::string packed = Pack(compression, sample);
    EXPECT_EQ(DetectCompression(packed), compression);
    ASSERT_OK_AND_ASSIGN(const std::string unpacked, Unpack(packed));
    EXPECT_EQ(unpacked, sample);
  }
}

TEST(Compression, WorksByteByByte) {
  const std::string sample = Sample().substr(0, 20'000);
  for (const Compression compression : kAll) {
    const std::string packed = Pack(compression, sample);
    ASSERT_OK_AND_ASSIGN(const std::string slow_input, Unpack(packed, 1));
    EXPECT_EQ(slow_input, sample);
    ASSERT_OK_AND_ASSIGN(const std::string small_output, Unpack(packed, 0, 1));
    EXPECT_EQ(small_output, sample);
  }
}

TEST(Compression, EmptyInputIsAnEmptyPlainStream) {
  ASSERT_OK_AND_ASSIGN(const std::string text, Unpack(""));
  EXPECT_EQ(text, "");
  for (const Compression compression : kAll) {
    ASSERT_OK_AND_ASSIGN(const std::string empty, Unpack(Pack(compression, "")));
    EXPECT_EQ(empty, "");
  }
}

TEST(Compression, SeveralGzipMembersAreOneStream) {
  const std::string packed = Pack(Compression::kGzip, "one ") + Pack(Compression::kGzip, "") +
                             Pack(Compression::kGzip, "two");
  for (const size_t piece : {0, 1, 7}) {
    ASSERT_OK_AND_ASSIGN(const std::string text, Unpack(packed, piece));
    EXPECT_EQ(text, "one two");
  }
}

TEST(Compression, ZstdFramesMayFollowAndBeSkippable) {
  const std::string skippable("\x53\x2a\x4d\x18\x04\x00\x00\x00skip", 12);
  const std::string packed =
      skippable + Pack(Compression::kZstd, "one ") + skippable + Pack(Compression::kZstd, "two");
  EXPECT_EQ(DetectCompression(skippable), Compression::kZstd);
  for (const size_t piece : {0, 1, 7}) {
    ASSERT_OK_AND_ASSIGN(const std::string text, Unpack(packed, piece));
    EXPECT_EQ(text, "one two");
  }
}

TEST(Compression, AnyCutIsAnError) {
  const std::string sample = Sample().substr(0, 300);
  for (const Compression compression : {Compression::kGzip, Compression::kZstd}) {
    const std::string packed = Pack(compression, sample);
    for (size_t length = 10; length < packed.size(); ++length) {
      EXPECT_FALSE(Unpack(std::string_view(packed).substr(0, length)).ok()) << length;
    }
  }
}

TEST(Compression, WhatFollowsAGzipStreamIsAnError) {
  const std::string packed = Pack(Compression::kGzip, "data");
  EXPECT_THAT(Unpack(packed + "garbage"),
              StatusIs(absl::StatusCode::kUnknown, "gzip: invalid header"));
}

TEST(Compression, DamageIsNoticed) {
  std::string packed = Pack(Compression::kGzip, Sample());
  packed[packed.size() - 6] ^= 1;  // In the checksum.
  EXPECT_FALSE(Unpack(packed).ok());
}

TEST(Compression, GzipHeadersTellNothing) {
  const std::string packed = Pack(Compression::kGzip, "data");
  EXPECT_EQ(packed.substr(0, 10), std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10));
}

TEST(Compression, NeedsEightBytesToSeeASkippableFrame) {
  EXPECT_EQ(DetectCompression("\x53\x2a\x4d\x18"), Compression::kNone);
  EXPECT_EQ(DetectCompression("\x1f\x8b"), Compression::kNone);
}

}  // namespace
}  // namespace ctrd::archive
