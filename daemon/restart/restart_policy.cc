// SPDX-License-Identifier: Apache-2.0
#include "daemon/restart/restart_policy.h"

#include <charconv>
#include <string>

#include "base/status.h"

namespace ctrd::restart {
namespace {

using runtime::TaskState;

std::string_view LabelOf(const base::Labels& labels, const char* key) {
  const auto it = labels.find(key);
  return it == labels.end() ? std::string_view() : it->second;
}

std::optional<int64_t> ParseNumber(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool IsTrue(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  return false;
}

absl::StatusOr<bool> MayStart(const base::Labels& labels, uint32_t exit_status) {
  ASSIGN_OR_RETURN(const Policy policy, ParsePolicy(LabelOf(labels, kPolicyLabel)));
  switch (policy.kind) {
    case Policy::Kind::kNo:
      return false;
    case Policy::Kind::kAlways:
      return true;
    case Policy::Kind::kUnlessStopped:
      return !IsTrue(LabelOf(labels, kExplicitlyStoppedLabel));
    case Policy::Kind::kOnFailure:
      break;
  }
  if (exit_status == 0) return false;
  const std::string_view count = LabelOf(labels, kCountLabel);
  if (!count.empty() && !ParseNumber(count)) {
    return base::Unknown("invalid restart count: {}", count);
  }
  return policy.max_retries == 0 || RestartCount(labels) < policy.max_retries;
}

}  // namespace

absl::StatusOr<Policy> ParsePolicy(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  Policy policy;
  if (name == "on-failure") {
    policy.kind = Policy::Kind::kOnFailure;
    if (colon == text.npos) return policy;
    const std::string_view count = text.substr(colon + 1);
    const auto number = ParseNumber(count);
    if (!number || *number < 0) return base::Unknown("invalid max retry count: {}", count);
    policy.max_retries = *number;
    return policy;
  }
  if (name == "no") {
    policy.kind = Policy::Kind::kNo;
  } else if (name == "unless-stopped") {
    policy.kind = Policy::Kind::kUnlessStopped;
  } else if (name != "always" && !text.empty()) {
    return base::Unknown("restart policy {} not supported", base::Quote(text));
  }
  if (colon != text.npos) {
    return base::Unknown("restart policy {} not support max retry count", base::Quote(name));
  }
  return policy;
}

int64_t RestartCount(const base::Labels& labels) {
  return ParseNumber(LabelOf(labels, kCountLabel)).value_or(0);
}

absl::StatusOr<Change> DecideChange(const base::Labels& labels,
                                    const std::optional<runtime::ProcessState>& state) {
  const std::string_view wanted = LabelOf(labels, kStatusLabel);
  const TaskState is = state ? state->state : TaskState::kUnknown;
  if (wanted == "stopped") {
    return is == TaskState::kUnknown || is == TaskState::kStopped ? Change::kNone : Change::kStop;
  }
  if (wanted != "running") return Change::kNone;
  if (is == TaskState::kRunning || is == TaskState::kPaused || is == TaskState::kPausing) {
    return Change::kNone;
  }
  // A container without a task did not fail: there is nothing that says so.
  ASSIGN_OR_RETURN(const bool start, MayStart(labels, state ? state->exit.status : 0));
  return start ? Change::kStart : Change::kNone;
}

}  // namespace ctrd::restart
