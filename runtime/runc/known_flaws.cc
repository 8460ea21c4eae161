// SPDX-License-Identifier: Apache-2.0
#include "runtime/runc/known_flaws.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "absl/time/clock.h"
#include "base/process.h"
#include "base/status.h"

namespace ctrd::runtime::runc {
namespace {

struct Flaw {
  const char* name;
  // The first version without it on each line of releases that got it, ascending.
  std::vector<RuncVersion> mended;
};

const std::vector<Flaw>& Flaws() {
  static const std::vector<Flaw> flaws = {
      {"CVE-2016-3697", {{0, 1, 0}}},
      {"CVE-2016-9962", {{1, 0, 0, 3}}},
      {"CVE-2019-5736", {{1, 0, 0, 7}}},
      {"CVE-2019-16884", {{1, 0, 0, 9}}},
      {"CVE-2019-19921", {{1, 0, 0, 10}}},
      {"CVE-2021-30465", {{1, 0, 0, 95}}},
      {"CVE-2021-43784", {{1, 0, 3}}},
      {"CVE-2022-29162", {{1, 1, 2}}},
      {"CVE-2023-25809", {{1, 1, 5}}},
      {"CVE-2023-27561", {{1, 1, 5}}},
      {"CVE-2023-28642", {{1, 1, 5}}},
      {"CVE-2024-21626", {{1, 1, 12}}},
      {"CVE-2024-45310", {{1, 1, 14}, {1, 2, 0, 3}}},
      {"CVE-2025-31133", {{1, 2, 8}, {1, 3, 3}, {1, 4, 0, 3}}},
      {"CVE-2025-52565", {{1, 2, 8}, {1, 3, 3}, {1, 4, 0, 3}}},
      {"CVE-2025-52881", {{1, 2, 8}, {1, 3, 3}, {1, 4, 0, 3}}},
      {"CVE-2026-41579", {{1, 3, 6}, {1, 4, 3}, {1, 5, 0, 3}}},
  };
  return flaws;
}

bool IsMended(const Flaw& flaw, const RuncVersion& version) {
  const auto line = [](const RuncVersion& v) { return std::pair(v.major, v.minor); };
  for (const RuncVersion& mended : flaw.mended) {
    if (line(mended) == line(version)) return version >= mended;
  }
  return line(version) > line(flaw.mended.back());
}

// Takes a number from the front of `text`.
std::optional<int> TakeNumber(std::string_view& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() || number < 0) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

bool Take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

}  // namespace

std::optional<RuncVersion> ParseRuncVersion(std::string_view text) {
  RuncVersion version;
  const std::array<int*, 3> numbers = {&version.major, &version.minor, &version.patch};
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0 && !Take(text, ".")) return std::nullopt;
    const auto number = TakeNumber(text);
    if (!number) return std::nullopt;
    *numbers[i] = *number;
  }
  if (Take(text, "-rc") || Take(text, "~rc")) {
    (void)Take(text, ".");
    version.candidate = TakeNumber(text).value_or(0);
  } else if (text.starts_with("-dev")) {
    version.candidate = 0;
  }
  return version;
}

std::vector<std::string> KnownFlaws(const RuncVersion& version) {
  std::vector<std::string> names;
  for (const Flaw& flaw : Flaws()) {
    if (!IsMended(flaw, version)) names.emplace_back(flaw.name);
  }
  return names;
}

RuntimeReport ReadVersionOutput(std::string_view output) {
  RuntimeReport report;
  const std::string_view line = output.substr(0, output.find('\n'));
  const size_t word = line.find(" version ");
  if (word == std::string_view::npos) return report;
  report.name = line.substr(0, word);
  report.version = line.substr(word + 9);
  if (report.name != "runc") return report;
  if (const auto version = ParseRuncVersion(report.version)) report.flaws = KnownFlaws(*version);
  return report;
}

absl::StatusOr<RuntimeReport> InspectRuntime(const std::string& binary, absl::Duration limit) {
  ASSIGN_OR_RETURN(const base::RunResult result,
                   base::Run({.argv = {binary, "--version"},
                              .environment = base::CurrentEnvironment(),
                              .new_process_group = true},
                             "", absl::Now() + limit, 1 << 16));
  if (result.exit_code != 0) {
    return base::Unknown("{} --version: exit status {}", binary, result.exit_code);
  }
  return ReadVersionOutput(result.output);
}

}  // namespace ctrd::runtime::runc
