// SPDX-License-Identifier: Apache-2.0
#include "base/identifiers.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

TEST(Identifiers, AcceptsRunsJoinedBySingleSeparators) {
  for (const char* id : {"a", "A9", "default", "k8s.io", "plugins.moby", "a_b-c.d", "0"}) {
    EXPECT_TRUE(ValidateIdentifier(id).ok()) << id;
  }
}

TEST(Identifiers, RefusesOthersWithTheTextClientsKnow) {
  EXPECT_EQ(MessageOf(ValidateIdentifier("")), "identifier must not be empty: invalid argument");
  EXPECT_EQ(
      MessageOf(ValidateIdentifier("a b")),
      "identifier \"a b\" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument");
  for (const char* id : {".a", "a.", "a..b", "a/b", "-", "a\n"}) {
    EXPECT_THAT(ValidateIdentifier(id), StatusIs(absl::StatusCode::kInvalidArgument)) << id;
  }
  EXPECT_TRUE(ValidateIdentifier(std::string(76, 'a')).ok());
  EXPECT_THAT(
      ValidateIdentifier(std::string(77, 'a')),
      StatusIs(absl::StatusCode::kInvalidArgument,
               testing::EndsWith("greater than maximum length (76 characters): invalid argument")));
}

TEST(Identifiers, LimitsKeyAndValueOfALabelTogether) {
  EXPECT_TRUE(ValidateLabel("key", std::string(4093, 'v')).ok());
  EXPECT_EQ(MessageOf(ValidateLabels({{"key", std::string(4094, 'v')}}, "image.Labels")),
            "image.Labels: label key and value length (4097 bytes) greater than maximum size (4096 "
            "bytes), key: key: invalid argument");
}

TEST(Identifiers, QuotesAsClientsRead) {
  EXPECT_EQ(Quote("plain"), "\"plain\"");
  EXPECT_EQ(Quote("a\"b\\c\n\t"), "\"a\\\"b\\\\c\\n\\t\"");
  EXPECT_EQ(Quote("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"");
  EXPECT_EQ(Quote("\xff\x01"), "\"\\xff\\x01\"");
  EXPECT_EQ(Quote("\xc2\xa0"), "\"\\u00a0\"");
}

}  // namespace
}  // namespace ctrd::base
