// SPDX-License-Identifier: Apache-2.0

// Brings the table of one configuration file to the newest version.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "daemon/config/config.h"
#include "daemon/config/toml.h"

namespace ctrd::config {

// The `version` of a file: 1 when it says nothing or 0.
//   kInvalidArgument  it is higher than kVersion
absl::StatusOr<int> VersionOf(const toml::table& file, const std::string& path);

// Rewrites `file` in place, one version after the other.
void Migrate(toml::table& file, int version, const Warn& warn);

}  // namespace ctrd::config
