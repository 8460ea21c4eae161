// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "daemon/config/config.h"

namespace ctrd {

// What the daemon was asked to do.
enum class Command { kServe, kConfigDefault, kConfigDump, kPublish, kPrintAndExit };

struct CommandLine {
  Command command = Command::kServe;
  std::string config_path = config::kDefaultPath;
  bool config_given = false;
  std::string log_level;
  std::string address;
  std::string root;
  std::string state;
  std::string publish_namespace;
  std::string publish_topic;
  std::string output;  // For kPrintAndExit.
  int exit_code = 0;
};

// Long flags are taken with one dash too, as old shims write them.
CommandLine ParseCommandLine(int argc, char** argv);

// The configuration the command line asks for: file or defaults, then flags. Paths made absolute.
absl::StatusOr<config::Config> ConfigFor(const CommandLine& line, const config::Schemas& schemas,
                                         const config::Warn& warn);

}  // namespace ctrd
