// SPDX-License-Identifier: Apache-2.0
#include "ctr/flag_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"

namespace ctrd::ctr {
namespace {

using testing::ElementsAre;

TEST(ParseMountTest, TakesShortAndLongKeys) {
  ASSERT_OK_AND_ASSIGN(const auto mount,
                       ParseMount("type=bind,src=/a,destination=/b,options=rbind:ro"));
  EXPECT_EQ(mount.type, "bind");
  EXPECT_EQ(mount.source, "/a");
  EXPECT_EQ(mount.destination, "/b");
  EXPECT_THAT(mount.options, ElementsAre("rbind", "ro"));
}

TEST(ParseMountTest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(base::MessageOf(ParseMount("foo=bar").status()), "mount option \"foo\" not supported");
  EXPECT_EQ(base::MessageOf(ParseMount("type").status()),
            "invalid mount specification: expected key=val");
}

TEST(SplitCsvTest, FieldsMayBeQuoted) {
  ASSERT_OK_AND_ASSIGN(const auto fields, SplitCsv(R"("a,b",c,"d""e",)"));
  EXPECT_THAT(fields, ElementsAre("a,b", "c", "d\"e", ""));
  ASSERT_OK_AND_ASSIGN(const auto last, SplitCsv(R"(a,"b")"));
  EXPECT_THAT(last, ElementsAre("a", "b"));
  EXPECT_EQ(base::MessageOf(SplitCsv("").status()), "EOF");
  for (const char* line : {"\"a", "\"a\"b", "a\"b", "x,\""}) {
    EXPECT_FALSE(SplitCsv(line).ok()) << line;
  }
}

TEST(ParseIdMappingsTest, NumbersMayHavePrefixes) {
  ASSERT_OK_AND_ASSIGN(const auto mappings, ParseIdMappings({"0:0x10:010", "8:100:1"}));
  ASSERT_EQ(mappings.size(), 2U);
  EXPECT_EQ(mappings[0].host_id, 16U);
  EXPECT_EQ(mappings[0].size, 8U);
}

TEST(ParseIdMappingsTest, RefusesOtherShapes) {
  for (const char* text : {"", "1", "1:2", "1:2:3:4", "a:b:c", "-1:0:1", "0:4294967296:1",
                           "0:18446744073709551616:1", "0:0:1x", "0x:0:1", "08:0:1", ":0:1"}) {
    EXPECT_FALSE(ParseIdMappings({text}).ok()) << text;
  }
  EXPECT_FALSE(ParseIdMappings({}).ok());
  EXPECT_EQ(base::MessageOf(ParseIdMappings({"0:b:1"}).status()),
            "invalid host id for user namespace remapping: strconv.ParseUint: parsing \"b\": "
            "invalid syntax");
}

TEST(ParseNamespaceTest, PathsMayHaveColonsOrBeEmpty) {
  ASSERT_OK_AND_ASSIGN(const auto joined, ParseNamespace("pid:/a:b"));
  EXPECT_EQ(joined.path, "/a:b");
  ASSERT_OK_AND_ASSIGN(const auto made, ParseNamespace("cgroup:"));
  EXPECT_EQ(made.path, "");
  EXPECT_FALSE(ParseNamespace("pid").ok());
  EXPECT_FALSE(ParseNamespace("time:/x").ok());
}

TEST(ParseLimitTest, SoftAloneIsBoth) {
  ASSERT_OK_AND_ASSIGN(const Limit one, ParseLimit("10"));
  EXPECT_EQ(one.hard, 10U);
  ASSERT_OK_AND_ASSIGN(const Limit two, ParseLimit("10:20"));
  EXPECT_EQ(two.hard, 20U);
  for (const char* text : {"", "a", "-1", "1:", ":1", "1:2:3", "18446744073709551616", " 1"}) {
    EXPECT_FALSE(ParseLimit(text).ok()) << text;
  }
}

}  // namespace
}  // namespace ctrd::ctr
