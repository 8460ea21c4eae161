// SPDX-License-Identifier: Apache-2.0

// The shim's command line, in the style of Go's flags: one dash or two, "-flag value" or
// "-flag=value", then the action.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ctrd::runtime::shim {

struct Flags {
  std::string namespace_name, id, address, publish_binary, bundle, socket;
  bool debug = false, version = false, info = false;
  std::string action;  // "start", "delete", or "" for the server.
};

// `arguments` without the program's name.
//   kInvalidArgument  unknown flag, missing value
absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& arguments);

}  // namespace ctrd::runtime::shim
