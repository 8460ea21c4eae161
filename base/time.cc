// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace ctrd::base {

std::string FormatRfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E*SZ", time, absl::UTCTimeZone());
}

std::optional<absl::Time> ParseRfc3339(std::string_view text) {
  absl::Time time;
  if (!absl::ParseTime(absl::RFC3339_full, ToAbsl(text), &time, nullptr)) return std::nullopt;
  return time;
}

std::optional<absl::Duration> ParseDuration(std::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(ToAbsl(text), &duration)) return std::nullopt;
  return duration;
}

std::string FormatDuration(absl::Duration duration) {
  if (duration == absl::ZeroDuration()) return "0s";
  std::string text;
  if (duration < absl::ZeroDuration()) {
    text = "-";
    duration = -duration;
  }
  // Below a second a single unit is printed, from a minute on all lower units are.
  if (duration < absl::Seconds(1)) return text + absl::FormatDuration(duration);
  const int64_t hours = absl::ToInt64Hours(duration);
  const int64_t minutes = absl::ToInt64Minutes(duration) % 60;
  const double seconds = absl::ToDoubleSeconds(duration % absl::Minutes(1));
  if (hours > 0) text += fmt::format("{}h", hours);
  if (hours > 0 || minutes > 0) text += fmt::format("{}m", minutes);
  return text + fmt::format("{}s", seconds);
}

absl::Time ZeroTime() { return absl::FromUnixSeconds(-62135596800); }

}  // namespace ctrd::base
