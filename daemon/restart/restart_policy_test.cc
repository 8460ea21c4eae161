// SPDX-License-Identifier: Apache-2.0
#include "daemon/restart/restart_policy.h"

#include <string>

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::restart {
namespace {

using runtime::ProcessState;
using runtime::TaskState;

ProcessState In(TaskState state, uint32_t exit_status = 0) {
  return {.state = state, .exit = {.status = exit_status}};
}

base::Labels Running(const std::string& policy, const std::string& count = "") {
  base::Labels labels = {{kStatusLabel, "running"}, {kPolicyLabel, policy}};
  if (!count.empty()) labels[kCountLabel] = count;
  return labels;
}

Change Decide(const base::Labels& labels, const std::optional<ProcessState>& state) {
  const auto change = DecideChange(labels, state);
  EXPECT_THAT(change, base::IsOk());
  return change.value_or(Change::kNone);
}

TEST(RestartPolicy, RefusesWhatItDoesNotUnderstand) {
  const auto code = absl::StatusCode::kUnknown;
  EXPECT_THAT(ParsePolicy("always:3"),
              base::StatusIs(code, R"(restart policy "always" not support max retry count)"));
  EXPECT_THAT(ParsePolicy("no:"),
              base::StatusIs(code, R"(restart policy "no" not support max retry count)"));
  EXPECT_THAT(ParsePolicy("on-failure:x"), base::StatusIs(code, "invalid max retry count: x"));
  EXPECT_THAT(ParsePolicy("on-failure:-1"), base::StatusIs(code, "invalid max retry count: -1"));
  EXPECT_THAT(ParsePolicy("on-failure:"), base::StatusIs(code, "invalid max retry count: "));
  EXPECT_THAT(ParsePolicy("Always"),
              base::StatusIs(code, R"(restart policy "Always" not supported)"));
}

TEST(RestartPolicy, NeverStartsWhatItDoesNotUnderstand) {
  EXPECT_FALSE(DecideChange(Running("sometimes"), std::nullopt).ok());
  EXPECT_FALSE(DecideChange(Running("on-failure:3", "many"), In(TaskState::kStopped, 1)).ok());
}

TEST(RestartPolicy, TakesAMissingPolicyForAlways) {
  const base::Labels labels = {{kStatusLabel, "running"}};
  EXPECT_EQ(Decide(labels, std::nullopt), Change::kStart);
  EXPECT_EQ(Decide(Running(""), In(TaskState::kStopped)), Change::kStart);
}

TEST(RestartPolicy, LeavesAloneWhatIsAsItShouldBe) {
  for (const TaskState state : {TaskState::kRunning, TaskState::kPaused, TaskState::kPausing}) {
    EXPECT_EQ(Decide(Running("always"), In(state)), Change::kNone);
  }
  EXPECT_EQ(Decide({{kStatusLabel, "stopped"}}, std::nullopt), Change::kNone);
  EXPECT_EQ(Decide({{kStatusLabel, "stopped"}}, In(TaskState::kStopped)), Change::kNone);
  EXPECT_EQ(Decide({{kStatusLabel, "frozen"}}, In(TaskState::kRunning)), Change::kNone);
}

TEST(RestartPolicy, StopsWhatShallBeStopped) {
  for (const TaskState state : {TaskState::kCreated, TaskState::kRunning, TaskState::kPaused}) {
    EXPECT_EQ(Decide({{kStatusLabel, "stopped"}}, In(state)), Change::kStop);
  }
}

TEST(RestartPolicy, StartsAlwaysWhateverTheExitWas) {
  for (const TaskState state : {TaskState::kCreated, TaskState::kStopped, TaskState::kUnknown}) {
    EXPECT_EQ(Decide(Running("always"), In(state)), Change::kStart);
  }
  EXPECT_EQ(Decide(Running("always", "many"), std::nullopt), Change::kStart);
  EXPECT_EQ(Decide(Running("no"), In(TaskState::kStopped, 1)), Change::kNone);
}

TEST(RestartPolicy, StartsOnFailureOnlyAfterAFailure) {
  EXPECT_EQ(Decide(Running("on-failure"), In(TaskState::kStopped, 1)), Change::kStart);
  EXPECT_EQ(Decide(Running("on-failure"), In(TaskState::kStopped, 0)), Change::kNone);
  EXPECT_EQ(Decide(Running("on-failure"), std::nullopt), Change::kNone);
}

TEST(RestartPolicy, StartsOnFailureOnlyAsOftenAsItSays) {
  EXPECT_EQ(Decide(Running("on-failure:2"), In(TaskState::kStopped, 1)), Change::kStart);
  EXPECT_EQ(Decide(Running("on-failure:2", "1"), In(TaskState::kStopped, 1)), Change::kStart);
  EXPECT_EQ(Decide(Running("on-failure:2", "2"), In(TaskState::kStopped, 1)), Change::kNone);
  EXPECT_EQ(Decide(Running("on-failure:0", "200"), In(TaskState::kStopped, 1)), Change::kStart);
}

TEST(RestartPolicy, LeavesDownWhatAUserStopped) {
  base::Labels labels = Running("unless-stopped");
  EXPECT_EQ(Decide(labels, In(TaskState::kStopped)), Change::kStart);
  for (const char* yes : {"1", "t", "true", "TRUE"}) {
    labels[kExplicitlyStoppedLabel] = yes;
    EXPECT_EQ(Decide(labels, In(TaskState::kStopped)), Change::kNone) << yes;
  }
  labels[kExplicitlyStoppedLabel] = "yes";  // No boolean.
  EXPECT_EQ(Decide(labels, In(TaskState::kStopped)), Change::kStart);
}

}  // namespace
}  // namespace ctrd::restart
