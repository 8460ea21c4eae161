// SPDX-License-Identifier: Apache-2.0
#include "ctr/container_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"
#include "ctr/task.h"

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

TEST(ParseIdMappingsTest, NumbersMayHavePrefixes) {
  ASSERT_OK_AND_ASSIGN(const auto mappings, ParseIdMappings({"0:0x10:010", "8:100:1"}));
  ASSERT_EQ(mappings.size(), 2U);
  EXPECT_EQ(mappings[0].host_id, 16U);
  EXPECT_EQ(mappings[0].size, 8U);
}

TEST(ParseIdMappingsTest, RefusesOtherShapes) {
  for (const char* text :
       {"", "1", "1:2", "1:2:3:4", "a:b:c", "-1:0:1", "0:4294967296:1", "0:0:1x"}) {
    EXPECT_FALSE(ParseIdMappings({text}).ok()) << text;
  }
  EXPECT_FALSE(ParseIdMappings({}).ok());
}

TEST(ParseSignalTest, NamesAndNumbers) {
  for (const char* text : {"9", "KILL", "SIGKILL", "sigkill"}) {
    ASSERT_OK_AND_ASSIGN(const uint32_t number, ParseSignal(text));
    EXPECT_EQ(number, 9U) << text;
  }
  EXPECT_EQ(base::MessageOf(ParseSignal("NOPE").status()), "invalid signal: NOPE");
  EXPECT_FALSE(ParseSignal("").ok());
  EXPECT_FALSE(ParseSignal("0").ok());
  EXPECT_FALSE(ParseSignal("999").ok());
}

}  // namespace
}  // namespace ctrd::ctr
