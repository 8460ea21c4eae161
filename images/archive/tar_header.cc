// SPDX-License-Identifier: Apache-2.0
#include "images/archive/tar_header.h"

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "base/status.h"

namespace ctrd::archive {
namespace {

std::string_view CutAtNul(std::string_view field) { return field.substr(0, field.find('\0')); }

std::optional<int64_t> ParseBase256(std::string_view field) {
  const bool negative = (static_cast<uint8_t>(field[0]) & 0x40) != 0;
  const uint8_t inverse = negative ? 0xff : 0x00;
  uint64_t value = 0;
  for (size_t i = 0; i < field.size(); ++i) {
    uint8_t byte = static_cast<uint8_t>(field[i]) ^ inverse;
    if (i == 0) byte &= 0x7f;
    if ((value >> 56) != 0) return std::nullopt;
    value = value << 8 | byte;
  }
  if ((value >> 63) != 0) return std::nullopt;
  const auto number = static_cast<int64_t>(value);
  return negative ? ~number : number;
}

bool ChecksumHolds(std::string_view block) {
  const std::optional<int64_t> told = ParseTarNumber(block.substr(148, 8));
  int64_t as_unsigned = 0;
  int64_t as_signed = 0;
  for (size_t i = 0; i < kTarBlockBytes; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    as_unsigned += static_cast<uint8_t>(c);
    as_signed += static_cast<int8_t>(c);
  }
  return told.has_value() && (*told == as_unsigned || *told == as_signed);
}

// What the bytes after the common fields mean differs from one tar to the next.
void ParseTail(std::string_view block, TarEntry& entry) {
  const std::string_view magic = block.substr(257, 8);
  std::string_view prefix;
  if (magic.starts_with(std::string_view("ustar\0", 6))) {
    const bool star = block.substr(508, 4) == std::string_view("tar\0", 4);
    prefix = CutAtNul(block.substr(345, star ? 131 : 155));
    if (star) entry.atime.tv_sec = ParseTarNumber(block.substr(476, 12)).value_or(0);
  } else if (magic == std::string_view("ustar  \0", 8) && block[345] != '\0') {
    entry.atime.tv_sec = ParseTarNumber(block.substr(345, 12)).value_or(0);
  }
  if (!prefix.empty()) entry.name = fmt::format("{}/{}", prefix, entry.name);
}

absl::Status CheckRecord(std::string_view key, std::string_view value) {
  const bool text = key == "path" || key == "linkpath" || key == "uname" || key == "gname";
  const bool bad_value = text && value.find('\0') != std::string_view::npos;
  if (key.empty() || key.find('\0') != std::string_view::npos || bad_value) {
    return InvalidTarHeader();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status InvalidTarHeader() { return base::Unknown("archive/tar: invalid tar header"); }

bool IsZeroBlock(std::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

std::optional<int64_t> ParseTarNumber(std::string_view field) {
  if (!field.empty() && (static_cast<uint8_t>(field[0]) & 0x80) != 0) return ParseBase256(field);
  const size_t first = field.find_first_not_of(std::string_view(" \0", 2));
  if (first == std::string_view::npos) return 0;
  field.remove_prefix(first);
  field = field.substr(0, field.find_first_of(std::string_view(" \0", 2)));
  uint64_t value = 0;
  for (const char c : field) {
    if (c < '0' || c > '7' || (value >> 60) != 0) return std::nullopt;
    value = value << 3 | static_cast<uint64_t>(c - '0');
  }
  return static_cast<int64_t>(value);
}

absl::Status ParseTarHeader(std::string_view block, TarEntry& entry) {
  if (!ChecksumHolds(block)) return InvalidTarHeader();
  const auto mode = ParseTarNumber(block.substr(100, 8));
  const auto uid = ParseTarNumber(block.substr(108, 8));
  const auto gid = ParseTarNumber(block.substr(116, 8));
  const auto size = ParseTarNumber(block.substr(124, 12));
  const auto mtime = ParseTarNumber(block.substr(136, 12));
  if (!mode || !uid || !gid || !size || !mtime || *size < 0) return InvalidTarHeader();
  entry = TarEntry();
  entry.name = CutAtNul(block.substr(0, 100));
  entry.link = CutAtNul(block.substr(157, 100));
  entry.type = static_cast<TarType>(block[156]);
  entry.mode = static_cast<uint32_t>(*mode & 07777);
  entry.uid = *uid;
  entry.gid = *gid;
  entry.size_bytes = *size;
  entry.mtime.tv_sec = *mtime;
  if (entry.type == TarType::kCharacterDevice || entry.type == TarType::kBlockDevice) {
    const auto major = ParseTarNumber(block.substr(329, 8));
    const auto minor = ParseTarNumber(block.substr(337, 8));
    if (!major || !minor) return InvalidTarHeader();
    entry.device_major = static_cast<uint32_t>(*major);
    entry.device_minor = static_cast<uint32_t>(*minor);
  }
  ParseTail(block, entry);
  return absl::OkStatus();
}

absl::StatusOr<PaxRecords> ParsePaxRecords(std::string_view data) {
  PaxRecords records;
  while (!data.empty()) {
    const size_t space = data.find(' ');
    uint64_t length = 0;
    if (space == std::string_view::npos || space > 19 ||
        !absl::SimpleAtoi(base::ToAbsl(data.substr(0, space)), &length) || length < space + 3 ||
        length > data.size() || data[length - 1] != '\n') {
      return InvalidTarHeader();
    }
    const std::string_view record = data.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) return InvalidTarHeader();
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    RETURN_IF_ERROR(CheckRecord(key, value));
    records.insert_or_assign(std::string(key), std::string(value));
    data.remove_prefix(length);
  }
  return records;
}

std::optional<timespec> ParsePaxTime(std::string_view text) {
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  const std::string_view fraction =
      dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(base::ToAbsl(whole), &seconds)) return std::nullopt;
  int64_t nanoseconds = 0;
  for (size_t i = 0; i < std::max<size_t>(9, fraction.size()); ++i) {
    const char c = i < fraction.size() ? fraction[i] : '0';
    if (c < '0' || c > '9') return std::nullopt;
    if (i < 9) nanoseconds = nanoseconds * 10 + (c - '0');
  }
  if (whole.starts_with('-') && nanoseconds > 0) {
    if (seconds == std::numeric_limits<int64_t>::min()) return std::nullopt;
    --seconds;
    nanoseconds = 1'000'000'000 - nanoseconds;
  }
  return timespec{.tv_sec = seconds, .tv_nsec = nanoseconds};
}

}  // namespace ctrd::archive
