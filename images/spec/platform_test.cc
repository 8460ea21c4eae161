// SPDX-License-Identifier: Apache-2.0
#include "images/spec/platform.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::images {
namespace {

Platform Parse(std::string_view text) {
  auto result = ParsePlatform(text);
  EXPECT_TRUE(result.ok()) << text;
  return result.value_or(Platform{});
}

TEST(Platform, ParsesAndFormats) {
  EXPECT_EQ(FormatPlatform(Parse("linux/x86_64")), "linux/amd64");
  EXPECT_EQ(FormatPlatform(Parse("linux/arm64/v8")), "linux/arm64/v8");
  EXPECT_EQ(FormatPlatform(NormalizePlatform(Parse("linux/arm64/v8"))), "linux/arm64");
  EXPECT_EQ(FormatPlatform(Parse("linux/arm")), "linux/arm");
  EXPECT_EQ(FormatPlatform(Parse("linux/arm/v6")), "linux/arm/v6");
  EXPECT_EQ(FormatPlatform(Parse("armhf")), "linux/arm");
  EXPECT_EQ(FormatPlatform(Parse("macos/arm64")), "darwin/arm64");
  EXPECT_EQ(Parse("linux").architecture, HostPlatform().architecture);
  EXPECT_EQ(FormatPlatformAll(Parse("linux(+erofs)/amd64")), "linux(+erofs)/amd64");
  EXPECT_EQ(FormatPlatformAll(Parse("windows(10.0.1)/amd64")), "windows(10.0.1)/amd64");
}

TEST(Platform, RefusesWhatIsNoPlatform) {
  for (const char* text :
       {"*", "linux/*", "", "a/b/c/d", "linux/am d64", "nosuch", "linux(a/amd64"}) {
    EXPECT_FALSE(ParsePlatform(text).ok()) << text;
  }
}

TEST(PlatformMatcher, OnlyTakesCompatibleOnesInOrder) {
  const PlatformMatcher amd64 = PlatformMatcher::Only(Parse("linux/amd64"));
  EXPECT_TRUE(amd64.Matches(Parse("linux/amd64")));
  EXPECT_TRUE(amd64.Matches(Parse("linux/386")));
  EXPECT_FALSE(amd64.Matches(Parse("linux/arm64")));
  EXPECT_FALSE(amd64.Matches(Parse("linux/amd64/v3")));
  EXPECT_TRUE(amd64.Prefers(Parse("linux/amd64"), Parse("linux/386")));
  const PlatformMatcher arm64 = PlatformMatcher::Only(Parse("linux/arm64"));
  EXPECT_TRUE(arm64.Matches(Parse("linux/arm64/v8")));
  EXPECT_TRUE(arm64.Matches(Parse("linux/arm/v6")));
  EXPECT_TRUE(arm64.Prefers(Parse("linux/arm/v7"), Parse("linux/arm/v6")));
  EXPECT_FALSE(PlatformMatcher::OnlyStrict(Parse("linux/amd64")).Matches(Parse("linux/386")));
}

TEST(PlatformMatcher, FeaturesOfTheImageMustBeKnown) {
  Platform erofs = Parse("linux(+erofs)/amd64");
  EXPECT_FALSE(PlatformMatcher::Only(Parse("linux/amd64")).Matches(erofs));
  EXPECT_TRUE(PlatformMatcher::Only(erofs).Matches(Parse("linux/amd64")));
  EXPECT_TRUE(PlatformMatcher::Only(erofs).Prefers(erofs, Parse("linux/amd64")));
}

TEST(PlatformMatcher, SortsUnknownPlatformsLast) {
  std::vector<Descriptor> list(3);
  list[0].digest = "none";
  list[1].platform = Parse("linux/386");
  list[2].platform = Parse("linux/amd64");
  SortByPlatform(PlatformMatcher::Only(Parse("linux/amd64")), list);
  EXPECT_EQ(list[0].platform.architecture, "amd64");
  EXPECT_EQ(list[1].platform.architecture, "386");
  EXPECT_EQ(list[2].digest, "none");
}

}  // namespace
}  // namespace ctrd::images
