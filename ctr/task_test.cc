// SPDX-License-Identifier: Apache-2.0
#include "ctr/task.h"

#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"

namespace ctrd::ctr {
namespace {

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
