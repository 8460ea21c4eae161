// SPDX-License-Identifier: Apache-2.0

// The protobuf wire format, field by field, for layers that must not know generated messages: the
// records of base/store, the payloads of events, the types a task's options come in. Writing skips
// empty values, as proto3 does. Reading takes any bytes: it never reads past them and never throws.
//
//   std::string bytes = WireWriter().Bytes(1, id).Varint(2, pid).Take();
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/any.h"

namespace ctrd::base {

class WireWriter {
 public:
  WireWriter& Varint(int field, uint64_t value);  // uint32/64, int32/64, bool, enum
  WireWriter& Double(int field, double value);
  WireWriter& Packed(int field, const std::vector<uint64_t>& values);  // repeated varints
  WireWriter& Bytes(int field, std::string_view value);      // string, bytes; skipped when empty
  WireWriter& Message(int field, std::string_view encoded);  // written even when empty
  WireWriter& Time(int field, absl::Time time);              // google.protobuf.Timestamp
  WireWriter& Any(int field, const base::Any& any);  // google.protobuf.Any; skipped if empty
  WireWriter& StringMap(int field, const std::map<std::string, std::string>& map);
  std::string Take() { return std::move(bytes_); }

 private:
  void Tag(int field, int wire_type);
  void RawVarint(uint64_t value);
  std::string bytes_;
};

struct WireField {
  int number = 0;
  uint64_t varint = 0;     // For varint and fixed fields.
  std::string_view bytes;  // For length-delimited fields: points into the input.
};

// Walks the fields of one message:
//   for (WireReader reader(bytes); auto field = reader.Next();) switch (field->number) { … }
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}
  // The next field, or nullopt at the end or at malformed input (then !ok()).
  std::optional<WireField> Next();
  bool ok() const { return ok_; }

 private:
  std::optional<uint64_t> RawVarint();
  std::string_view rest_;
  bool ok_ = true;
};

absl::Time ReadWireTime(std::string_view message);
base::Any ReadWireAny(std::string_view message);
// Adds one entry of a map<string, string> field to `map`.
void ReadWireMapEntry(std::string_view message, std::map<std::string, std::string>& map);

}  // namespace ctrd::base
