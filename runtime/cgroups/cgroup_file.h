// SPDX-License-Identifier: Apache-2.0

// The kinds of text that files of a control group hold.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctrd::runtime::cgroups {

// The non-empty parts of `text` between separators.
std::vector<std::string_view> Split(std::string_view text, char separator);

// The whole file without the last newline; "" if it cannot be read.
std::string ReadText(const std::string& path);
absl::Status WriteText(const std::string& path, std::string_view text);

// One number. `max` is what the word "max" stands for; missing, unreadable and negative are 0.
uint64_t ReadNumber(const std::string& path, uint64_t max);
uint64_t ParseNumber(std::string_view text, uint64_t max);

// Lines of a word and a number. A missing file has none.
//   kUnknown  a line is something else
using KeyValues = std::map<std::string, uint64_t, std::less<>>;
absl::StatusOr<KeyValues> ReadKeyValues(const std::string& path);
absl::StatusOr<KeyValues> ParseKeyValues(std::string_view text);
uint64_t ValueOf(const KeyValues& values, std::string_view key);

// The sizes of huge pages this host has, as they stand in names of files: "2MB", "1GB".
std::vector<std::string> HugePageSizes();

// An encoded RdmaStat, the same for both versions.
std::string EncodeRdma(const std::string& directory);

}  // namespace ctrd::runtime::cgroups
