// SPDX-License-Identifier: Apache-2.0
#include "base/wire.h"

#include <bit>
#include <utility>

namespace ctrd::base {
namespace {

constexpr int kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5;

uint64_t LittleEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
  return value;
}

}  // namespace

void WireWriter::RawVarint(uint64_t value) {
  while (value >= 0x80) {
    bytes_.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  bytes_.push_back(static_cast<char>(value));
}

void WireWriter::Tag(int field, int wire_type) {
  RawVarint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type));
}

WireWriter& WireWriter::Varint(int field, uint64_t value) {
  if (value == 0) return *this;
  Tag(field, kVarint);
  RawVarint(value);
  return *this;
}

WireWriter& WireWriter::Double(int field, double value) {
  if (value == 0) return *this;
  Tag(field, kFixed64);
  const auto bits = std::bit_cast<uint64_t>(value);
  for (int shift = 0; shift < 64; shift += 8) bytes_.push_back(static_cast<char>(bits >> shift));
  return *this;
}

WireWriter& WireWriter::Packed(int field, const std::vector<uint64_t>& values) {
  if (values.empty()) return *this;
  WireWriter packed;
  for (const uint64_t value : values) packed.RawVarint(value);
  return Message(field, packed.bytes_);
}

WireWriter& WireWriter::Bytes(int field, std::string_view value) {
  return value.empty() ? *this : Message(field, value);
}

WireWriter& WireWriter::Message(int field, std::string_view encoded) {
  Tag(field, kLengthDelimited);
  RawVarint(encoded.size());
  bytes_.append(encoded);
  return *this;
}

WireWriter& WireWriter::Time(int field, absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  const int64_t nanos = absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds));
  return Message(field, WireWriter()
                            .Varint(1, static_cast<uint64_t>(seconds))
                            .Varint(2, static_cast<uint64_t>(nanos))
                            .Take());
}

WireWriter& WireWriter::Any(int field, const base::Any& any) {
  if (any.empty()) return *this;
  return Message(field, WireWriter().Bytes(1, any.type_url).Bytes(2, any.value).Take());
}

WireWriter& WireWriter::StringMap(int field, const std::map<std::string, std::string>& map) {
  for (const auto& [key, value] : map) {
    Message(field, WireWriter().Bytes(1, key).Bytes(2, value).Take());
  }
  return *this;
}

std::optional<uint64_t> WireReader::RawVarint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  ok_ = false;
  return std::nullopt;
}

std::optional<WireField> WireReader::Next() {
  if (!ok_ || rest_.empty()) return std::nullopt;
  const std::optional<uint64_t> tag = RawVarint();
  if (!tag) return std::nullopt;
  WireField field{.number = static_cast<int>(*tag >> 3), .varint = 0, .bytes = {}};
  size_t length = 0;
  switch (*tag & 7) {
    case kVarint: {
      const std::optional<uint64_t> value = RawVarint();
      if (!value) return std::nullopt;
      field.varint = *value;
      return field;
    }
    case kLengthDelimited: {
      const std::optional<uint64_t> value = RawVarint();
      if (!value) return std::nullopt;
      length = *value;
      break;
    }
    case kFixed64:
      length = 8;
      break;
    case kFixed32:
      length = 4;
      break;
    default:
      ok_ = false;
      return std::nullopt;
  }
  if (length > rest_.size()) {
    ok_ = false;
    return std::nullopt;
  }
  field.bytes = rest_.substr(0, length);
  rest_.remove_prefix(length);
  if ((*tag & 7) != kLengthDelimited) field.varint = LittleEndian(field.bytes);
  return field;
}

absl::Time ReadWireTime(std::string_view message) {
  int64_t seconds = 0, nanos = 0;
  WireReader reader(message);
  while (auto field = reader.Next()) {
    if (field->number == 1) seconds = static_cast<int64_t>(field->varint);
    if (field->number == 2) nanos = static_cast<int64_t>(field->varint);
  }
  return absl::FromUnixSeconds(seconds) + absl::Nanoseconds(nanos);
}

base::Any ReadWireAny(std::string_view message) {
  base::Any any;
  WireReader reader(message);
  while (auto field = reader.Next()) {
    if (field->number == 1) any.type_url = field->bytes;
    if (field->number == 2) any.value = field->bytes;
  }
  return any;
}

void ReadWireMapEntry(std::string_view message, std::map<std::string, std::string>& map) {
  std::string key, value;
  WireReader reader(message);
  while (auto field = reader.Next()) {
    if (field->number == 1) key = field->bytes;
    if (field->number == 2) value = field->bytes;
  }
  map[std::move(key)] = std::move(value);
}

}  // namespace ctrd::base
