// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ctrd {

// Sends the log (base/log.h) to standard error through spdlog. Level: trace, debug, info, warn,
// error, fatal or panic ("" is info); format: "text" or "" for logfmt lines, "json".
//   kInvalidArgument  no such level or format
absl::Status InstallLogSink(const std::string& level, const std::string& format);

}  // namespace ctrd
