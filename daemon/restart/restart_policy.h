// SPDX-License-Identifier: Apache-2.0

// What the labels of a container ask of the restart monitor, and what follows from them.
// Source document: docs/operations/restart.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/identifiers.h"
#include "runtime/task_runtime.h"

namespace ctrd::restart {

inline constexpr std::string_view kLabelPrefix = "containerd.io/restart.";
inline constexpr char kStatusLabel[] = "containerd.io/restart.status";
inline constexpr char kPolicyLabel[] = "containerd.io/restart.policy";
inline constexpr char kLogUriLabel[] = "containerd.io/restart.loguri";
inline constexpr char kLogPathLabel[] = "containerd.io/restart.logpath";  // No longer obeyed.
inline constexpr char kCountLabel[] = "containerd.io/restart.count";
inline constexpr char kExplicitlyStoppedLabel[] = "containerd.io/restart.explicitly-stopped";

struct Policy {
  enum class Kind { kNo, kAlways, kOnFailure, kUnlessStopped };
  Kind kind = Kind::kAlways;
  int64_t max_retries = 0;  // Of kOnFailure; 0: any number.
};

// "no", "always" or "", "unless-stopped", "on-failure[:<n>]".
//   kUnknown  `restart policy "X" not supported`, `invalid max retry count: x`, …
absl::StatusOr<Policy> ParsePolicy(std::string_view text);

// How often the container was restarted, by its label. What is no number counts as never.
int64_t RestartCount(const base::Labels& labels);

enum class Change { kNone, kStart, kStop };

// What is to be done to a container with `labels` whose task is in `state`; nullopt: it has none.
//   as ParsePolicy       its policy cannot be read: it is never started
//   kUnknown             its policy counts restarts, and the count is no number
absl::StatusOr<Change> DecideChange(const base::Labels& labels,
                                    const std::optional<runtime::ProcessState>& state);

}  // namespace ctrd::restart
