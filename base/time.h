// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace ctrd::base {

// "2026-11-22T04:41:31.52Z": UTC, fraction without trailing zeros, as clients of this API print and
// parse times in labels and files.
std::string FormatRfc3339(absl::Time time);
std::optional<absl::Time> ParseRfc3339(std::string_view text);

// Durations as configuration files and labels write them: "300ms", "1h30m", "10s", "0".
std::optional<absl::Duration> ParseDuration(std::string_view text);
std::string FormatDuration(absl::Duration duration);  // "1m0s", "245ms", "0s"

// The time that stands for "none" in protobuf timestamps of this API: 0001-01-01T00:00:00Z.
absl::Time ZeroTime();

}  // namespace ctrd::base
