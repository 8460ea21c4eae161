// SPDX-License-Identifier: Apache-2.0

// The 512 bytes of a tar header and the records of a PAX one. Internal to the reader and writer.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "images/archive/tar_entry.h"

namespace ctrd::archive {

inline constexpr size_t kTarBlockBytes = 512;

absl::Status InvalidTarHeader();

// Whether `block` ends an archive: all zero.
bool IsZeroBlock(std::string_view block);
// Parses one header block. `size_bytes` is the field's, whatever the type.
absl::Status ParseTarHeader(std::string_view block, TarEntry& entry);

using PaxRecords = std::map<std::string, std::string>;
// The records of the data of a PAX header.
absl::StatusOr<PaxRecords> ParsePaxRecords(std::string_view data);
// "<seconds>[.<fraction>]", possibly negative.
std::optional<timespec> ParsePaxTime(std::string_view text);
// Octal digits, or base 256 if the first bit is set.
std::optional<int64_t> ParseTarNumber(std::string_view field);

}  // namespace ctrd::archive
