// SPDX-License-Identifier: Apache-2.0

// Reads a configuration file and all it imports into one table.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "daemon/config/config.h"
#include "daemon/config/toml.h"

namespace ctrd::config {

// All files, breadth first and each once, migrated to kVersion and merged over the ones before.
// Nodes know the file and line they came from.
absl::StatusOr<toml::table> ReadFiles(const std::string& root_path, const Warn& warn);

}  // namespace ctrd::config
