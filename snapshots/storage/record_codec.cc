// SPDX-License-Identifier: Apache-2.0
#include "snapshots/storage/record_codec.h"

#include "base/identifiers.h"
#include "base/status.h"
#include "base/wire.h"

namespace ctrd::snapshots {
namespace {

enum Field { kId = 1, kKind, kParent, kLabels, kCreated, kUpdated, kSizeBytes, kInodes };

}  // namespace

std::string EncodeRecord(const Record& record) {
  return base::WireWriter()
      .Varint(kId, record.id)
      .Varint(kKind, static_cast<uint64_t>(record.info.kind))
      .Bytes(kParent, record.info.parent)
      .StringMap(kLabels, record.info.labels)
      .Time(kCreated, record.info.created)
      .Time(kUpdated, record.info.updated)
      .Varint(kSizeBytes, static_cast<uint64_t>(record.usage.size_bytes))
      .Varint(kInodes, static_cast<uint64_t>(record.usage.inodes))
      .Take();
}

absl::StatusOr<Record> DecodeRecord(std::string_view name, std::string_view bytes) {
  Record record;
  record.info.name = name;
  uint64_t kind = 0;
  base::WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case kId:
        record.id = field->varint;
        break;
      case kKind:
        kind = field->varint;
        break;
      case kParent:
        record.info.parent = field->bytes;
        break;
      case kLabels:
        base::ReadWireMapEntry(field->bytes, record.info.labels);
        break;
      case kCreated:
        record.info.created = base::ReadWireTime(field->bytes);
        break;
      case kUpdated:
        record.info.updated = base::ReadWireTime(field->bytes);
        break;
      case kSizeBytes:
        record.usage.size_bytes = static_cast<int64_t>(field->varint);
        break;
      case kInodes:
        record.usage.inodes = static_cast<int64_t>(field->varint);
        break;
      default:
        break;  // Of a later version.
    }
  }
  if (!reader.ok() || record.id == 0 || kind < 1 || kind > 3) {
    return base::DataLoss("record of snapshot {} is damaged", base::Quote(name));
  }
  record.info.kind = static_cast<Kind>(kind);
  return record;
}

std::string EncodeId(uint64_t id) { return base::WireWriter().Varint(1, id).Take(); }

uint64_t DecodeId(std::string_view bytes) {
  base::WireReader reader(bytes);
  const auto field = reader.Next();
  return field.has_value() && field->number == 1 ? field->varint : 0;
}

}  // namespace ctrd::snapshots
