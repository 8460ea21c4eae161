// SPDX-License-Identifier: Apache-2.0

// What an OCI runtime wrote to its --log file: JSON objects {"level", "msg", "time"}, one after
// another, of all calls so far.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctrd::runtime::runc {

// The size of the log now; 0 if there is none. Where the entries of the next call begin.
int64_t LogSize(const std::string& path);

// The trimmed message of the last error entry behind `offset`, "" if there is none. The error says
// why the log does not tell: it is missing or holds something else.
absl::StatusOr<std::string> LastError(const std::string& path, int64_t offset);
// The same of text that was read already.
absl::StatusOr<std::string> LastErrorOf(std::string_view log);

}  // namespace ctrd::runtime::runc
