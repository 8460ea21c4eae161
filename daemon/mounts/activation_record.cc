// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/activation_record.h"

#include "base/wire.h"

namespace ctrd::mounts {
namespace {

using base::WireReader;
using base::WireWriter;

std::string Encode(const base::Mount& mount) {
  WireWriter writer;
  writer.Bytes(1, mount.type).Bytes(2, mount.source).Bytes(3, mount.target);
  for (const std::string& option : mount.options) writer.Message(4, option);
  return writer.Take();
}

base::Mount DecodeMount(std::string_view bytes) {
  base::Mount mount;
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    if (field->number == 1) mount.type = field->bytes;
    if (field->number == 2) mount.source = field->bytes;
    if (field->number == 3) mount.target = field->bytes;
    if (field->number == 4) mount.options.emplace_back(field->bytes);
  }
  return mount;
}

// Of a mount that is active nothing but its type is of use later.
std::string Encode(const base::ActiveMount& active) {
  return WireWriter()
      .Bytes(1, active.mount.type)
      .Bytes(2, active.mount_point)
      .Time(3, active.mounted_at)
      .Take();
}

base::ActiveMount DecodeActive(std::string_view bytes) {
  base::ActiveMount active;
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    if (field->number == 1) active.mount.type = field->bytes;
    if (field->number == 2) active.mount_point = field->bytes;
    if (field->number == 3) active.mounted_at = base::ReadWireTime(field->bytes);
  }
  return active;
}

}  // namespace

std::string Encode(const ActivationRecord& record) {
  WireWriter writer;
  writer.Bytes(1, record.namespace_name).Bytes(2, record.activation.name).Bytes(3, record.lease);
  for (const base::ActiveMount& active : record.activation.active) {
    writer.Message(4, Encode(active));
  }
  for (const base::Mount& mount : record.activation.system) writer.Message(5, Encode(mount));
  return writer.StringMap(6, record.activation.labels).Varint(7, record.complete ? 1 : 0).Take();
}

ActivationRecord DecodeActivation(std::string_view bytes) {
  ActivationRecord record;
  base::Activation& activation = record.activation;
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        record.namespace_name = field->bytes;
        break;
      case 2:
        activation.name = field->bytes;
        break;
      case 3:
        record.lease = field->bytes;
        break;
      case 4:
        activation.active.push_back(DecodeActive(field->bytes));
        break;
      case 5:
        activation.system.push_back(DecodeMount(field->bytes));
        break;
      case 6:
        base::ReadWireMapEntry(field->bytes, activation.labels);
        break;
      case 7:
        record.complete = field->varint != 0;
        break;
      default:
        break;
    }
  }
  return record;
}

}  // namespace ctrd::mounts
