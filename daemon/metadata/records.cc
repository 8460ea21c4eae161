// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/records.h"

#include "base/status.h"
#include "base/wire.h"

namespace ctrd::metadata {

using base::ReadWireMapEntry;
using base::ReadWireTime;
using base::WireReader;
using base::WireWriter;

std::string Encode(const NamespaceRecord& record) {
  return WireWriter().StringMap(1, record.labels).Take();
}

void Decode(std::string_view bytes, NamespaceRecord& record) {
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) ReadWireMapEntry(field->bytes, record.labels);
  }
}

std::string Encode(const BlobRecord& record) {
  return WireWriter()
      .Varint(1, static_cast<uint64_t>(record.size_bytes))
      .Time(2, record.created)
      .Time(3, record.updated)
      .StringMap(4, record.labels)
      .Take();
}

void Decode(std::string_view bytes, BlobRecord& record) {
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) record.size_bytes = static_cast<int64_t>(field->varint);
    if (field->number == 2) record.created = ReadWireTime(field->bytes);
    if (field->number == 3) record.updated = ReadWireTime(field->bytes);
    if (field->number == 4) ReadWireMapEntry(field->bytes, record.labels);
  }
}

std::string Encode(const IngestRecord& record) {
  WireWriter writer;
  writer.Bytes(1, record.backend_ref);
  if (record.expires != absl::InfiniteFuture()) writer.Time(2, record.expires);
  return writer.Bytes(3, record.expected).Take();
}

void Decode(std::string_view bytes, IngestRecord& record) {
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) record.backend_ref = field->bytes;
    if (field->number == 2) record.expires = ReadWireTime(field->bytes);
    if (field->number == 3) record.expected = field->bytes;
  }
}

std::string Encode(const SnapshotRecord& record) {
  return WireWriter()
      .Bytes(1, record.backend_name)
      .Bytes(2, record.parent)
      .Time(3, record.created)
      .Time(4, record.updated)
      .StringMap(5, record.labels)
      .Take();
}

void Decode(std::string_view bytes, SnapshotRecord& record) {
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) record.backend_name = field->bytes;
    if (field->number == 2) record.parent = field->bytes;
    if (field->number == 3) record.created = ReadWireTime(field->bytes);
    if (field->number == 4) record.updated = ReadWireTime(field->bytes);
    if (field->number == 5) ReadWireMapEntry(field->bytes, record.labels);
  }
}

std::string Encode(const images::Image& image) {
  return WireWriter()
      .StringMap(1, image.labels)
      .Message(2, WireWriter()
                      .Bytes(1, image.target.media_type)
                      .Bytes(2, image.target.digest)
                      .Varint(3, static_cast<uint64_t>(image.target.size_bytes))
                      .StringMap(5, image.target.annotations)
                      .Take())
      .Time(3, image.created)
      .Time(4, image.updated)
      .Take();
}

void Decode(std::string_view bytes, images::Image& image) {
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) ReadWireMapEntry(field->bytes, image.labels);
    if (field->number == 3) image.created = ReadWireTime(field->bytes);
    if (field->number == 4) image.updated = ReadWireTime(field->bytes);
    if (field->number != 2) continue;
    WireReader target(field->bytes);
    while (auto part = target.Next()) {
      if (part->number == 1) image.target.media_type = part->bytes;
      if (part->number == 2) image.target.digest = part->bytes;
      if (part->number == 3) image.target.size_bytes = static_cast<int64_t>(part->varint);
      if (part->number == 5) ReadWireMapEntry(part->bytes, image.target.annotations);
    }
  }
}

std::string Encode(const images::Lease& lease) {
  return WireWriter().Time(1, lease.created).StringMap(2, lease.labels).Take();
}

void Decode(std::string_view bytes, images::Lease& lease) {
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) lease.created = ReadWireTime(field->bytes);
    if (field->number == 2) ReadWireMapEntry(field->bytes, lease.labels);
  }
}

absl::StatusOr<bool> Exists(store::ReadTransaction& read, std::string_view key) {
  ASSIGN_OR_RETURN(const auto value, read.Get(key));
  return value.has_value();
}

absl::StatusOr<bool> AnyWithPrefix(store::ReadTransaction& read, std::string_view prefix) {
  bool any = false;
  RETURN_IF_ERROR(read.Scan(prefix, [&](auto, auto) {
    any = true;
    return false;
  }));
  return any;
}

absl::StatusOr<std::vector<std::string>> KeysWithPrefix(store::ReadTransaction& read,
                                                        std::string_view prefix) {
  std::vector<std::string> keys;
  RETURN_IF_ERROR(read.Scan(prefix, [&](std::string_view key, auto) {
    keys.emplace_back(key);
    return true;
  }));
  return keys;
}

absl::Status DeletePrefix(store::WriteTransaction& write, std::string_view prefix) {
  ASSIGN_OR_RETURN(const auto keys, KeysWithPrefix(write, prefix));
  for (const std::string& key : keys) RETURN_IF_ERROR(write.Delete(key));
  return absl::OkStatus();
}

absl::Status EnsureNamespace(store::WriteTransaction& write, std::string_view name) {
  const std::string key = store::Key({table::kNamespaces, name});
  ASSIGN_OR_RETURN(const bool exists, Exists(write, key));
  return exists ? absl::OkStatus() : write.Put(key, Encode(NamespaceRecord()));
}

}  // namespace ctrd::metadata
