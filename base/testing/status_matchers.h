// SPDX-License-Identifier: Apache-2.0

// Matchers for absl::Status and absl::StatusOr:
//   EXPECT_THAT(call, IsOk());  EXPECT_THAT(call, StatusIs(kNotFound));
//   EXPECT_THAT(call, StatusIs(kNotFound, HasSubstr("…")));  ASSERT_OK_AND_ASSIGN(auto x, call);
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "gmock/gmock.h"

namespace ctrd::base {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P2(StatusIs, code, message, "has the code and message") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         testing::ExplainMatchResult(message, MessageOf(status), result_listener);
}

MATCHER_P(StatusIs, code, "has the code") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

}  // namespace ctrd::base

#define ASSERT_OK_AND_ASSIGN(target, expression) \
  ASSERT_OK_AND_ASSIGN_INNER(CTRD_CONCAT(ctrd_result_, __LINE__), target, expression)
#define ASSERT_OK_AND_ASSIGN_INNER(result, target, expression) \
  auto result = (expression);                                  \
  ASSERT_TRUE(result.ok()) << result.status().ToString();      \
  target = *std::move(result)
