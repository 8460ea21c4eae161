// SPDX-License-Identifier: Apache-2.0

// Which published flaws a version of runc has. We call runc and cannot mend it; what we can do is
// say it. Source document: docs/operations/runc-versions.md.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ctrd::runtime::runc {

struct RuncVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;
  int candidate = kRelease;  // "1.2.0-rc.3": 3.

  static constexpr int kRelease = 1 << 20;
  friend auto operator<=>(const RuncVersion&, const RuncVersion&) = default;
};

// "1.1.5+ds1", "1.2.0-rc.3", "1.0.0-rc95". What a distribution adds behind '+' or '~' is left out.
std::optional<RuncVersion> ParseRuncVersion(std::string_view text);

// The flaws of `version`, oldest first: "CVE-2024-21626". A distribution may have mended some of
// them without another number.
std::vector<std::string> KnownFlaws(const RuncVersion& version);

struct RuntimeReport {
  std::string name;     // "runc", "crun", …
  std::string version;  // As the program says it.
  std::vector<std::string> flaws;
};

// What "<binary> --version" prints, read.
RuntimeReport ReadVersionOutput(std::string_view output);
// Asks `binary`.
absl::StatusOr<RuntimeReport> InspectRuntime(const std::string& binary, absl::Duration limit);

}  // namespace ctrd::runtime::runc
