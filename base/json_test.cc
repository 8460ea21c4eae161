// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <gtest/gtest.h>

namespace ctrd::base {
namespace {

std::string Nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST(Json, IsReadUpToItsDepth) {
  EXPECT_TRUE(ParseJson(Nested(kMostJsonDepth)).is_array());
  EXPECT_TRUE(ParseJson(Nested(kMostJsonDepth + 1)).is_discarded());
  EXPECT_TRUE(ParseJson(std::string(5'000'000, '[')).is_discarded());
  EXPECT_TRUE(ParseJson("{\"a\":").is_discarded());
  EXPECT_TRUE(ParseJson("").is_discarded());
}

TEST(Json, BracketsInsideOfStringsAreNoDepth) {
  EXPECT_FALSE(IsNestedDeeper(R"(["[[[[", "\"[[[", "\\", []])", 2));
  EXPECT_TRUE(IsNestedDeeper(R"(["\\", [[]]])", 2));
  EXPECT_FALSE(IsNestedDeeper("[][][]{}{}", 1));
  EXPECT_FALSE(IsNestedDeeper("]]][[[", 1));
}

TEST(Json, IsWrittenAsGoWritesIt) {
  const nlohmann::ordered_json json = {{"z", "<a & b>"}, {"a", "\u2028\u2029\u00e9 \xe2\x80\xa6"}};
  EXPECT_EQ(DumpJson(json),
            "{\"z\":\"\\u003ca \\u0026 b\\u003e\",\"a\":\"\\u2028\\u2029\u00e9 \xe2\x80\xa6\"}");
  EXPECT_EQ(DumpJson(nlohmann::json::array({1}), 2), "[\n  1\n]");
}

TEST(Json, BytesThatAreNoTextAreReplaced) {
  EXPECT_EQ(DumpJson(nlohmann::json("a\xff")), "\"a\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace ctrd::base
