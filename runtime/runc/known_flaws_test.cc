// SPDX-License-Identifier: Apache-2.0
#include "runtime/runc/known_flaws.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ctrd::runtime::runc {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> FlawsOf(std::string_view text) {
  const auto version = ParseRuncVersion(text);
  return version ? KnownFlaws(*version) : std::vector<std::string>{"unreadable"};
}

TEST(RuncVersionTest, CandidatesComeBeforeTheirRelease) {
  EXPECT_LT(ParseRuncVersion("1.0.0-rc9"), ParseRuncVersion("1.0.0-rc95"));
  EXPECT_LT(ParseRuncVersion("1.2.0-rc.3"), ParseRuncVersion("1.2.0"));
  EXPECT_LT(ParseRuncVersion("1.1.9"), ParseRuncVersion("1.1.10"));
  EXPECT_EQ(ParseRuncVersion("1.1.5+ds1"), ParseRuncVersion("1.1.5"));
  for (const char* text : {"", "1", "1.2", "x.y.z", "1.-2.3", "99999999999.0.0"}) {
    EXPECT_FALSE(ParseRuncVersion(text).has_value()) << text;
  }
}

TEST(KnownFlawsTest, AFlawEndsOnEachLineOfReleasesByItself) {
  EXPECT_THAT(FlawsOf("1.2.7"), Contains("CVE-2025-31133"));
  EXPECT_THAT(FlawsOf("1.2.8"), Not(Contains("CVE-2025-31133")));
  EXPECT_THAT(FlawsOf("1.3.2"), Contains("CVE-2025-31133"));
  EXPECT_THAT(FlawsOf("1.4.0-rc.2"), Contains("CVE-2025-31133"));
  EXPECT_THAT(FlawsOf("1.4.0-rc.3"), Not(Contains("CVE-2025-31133")));
  EXPECT_THAT(FlawsOf("1.1.99"), Contains("CVE-2025-31133"));  // That line never got it.
  EXPECT_THAT(FlawsOf("1.6.0"), IsEmpty());
}

TEST(KnownFlawsTest, OldVersionsHaveThemAll) {
  EXPECT_EQ(FlawsOf("0.0.9").size(), 17U);
  EXPECT_THAT(FlawsOf("1.1.5"), ElementsAre("CVE-2024-21626", "CVE-2024-45310", "CVE-2025-31133",
                                            "CVE-2025-52565", "CVE-2025-52881", "CVE-2026-41579"));
}

TEST(ReadVersionOutputTest, OnlyRuncIsJudged) {
  const RuntimeReport runc =
      ReadVersionOutput("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n");
  EXPECT_EQ(runc.name, "runc");
  EXPECT_EQ(runc.version, "1.1.5+ds1");
  EXPECT_THAT(runc.flaws, Contains("CVE-2024-21626"));
  const RuntimeReport crun = ReadVersionOutput("crun version 1.8.1\ncommit: f8a096be\n");
  EXPECT_EQ(crun.name, "crun");
  EXPECT_THAT(crun.flaws, IsEmpty());
  EXPECT_EQ(ReadVersionOutput("garbage").version, "");
}

}  // namespace
}  // namespace ctrd::runtime::runc
