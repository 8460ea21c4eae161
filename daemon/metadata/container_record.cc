// SPDX-License-Identifier: Apache-2.0

// The record of a container, and how filters see it.
#include "daemon/metadata/container_record.h"

#include "daemon/metadata/extensions.h"

namespace ctrd::metadata {

using base::ReadWireTime;
using base::WireReader;
using base::WireWriter;

std::string Encode(const Container& container) {
  WireWriter writer;
  writer.StringMap(1, container.labels)
      .Bytes(2, container.image)
      .Message(3, EncodeRuntime(container.runtime))
      .Any(4, container.spec)
      .Bytes(5, container.snapshotter)
      .Bytes(6, container.snapshot_key)
      .Time(7, container.created)
      .Time(8, container.updated);
  WriteExtensions(writer, 9, container.extensions);
  return writer.Bytes(10, container.sandbox).Take();
}

void Decode(std::string_view bytes, Container& container) {
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        base::ReadWireMapEntry(field->bytes, container.labels);
        break;
      case 2:
        container.image = field->bytes;
        break;
      case 3:
        container.runtime = DecodeRuntime(field->bytes);
        break;
      case 4:
        container.spec = base::ReadWireAny(field->bytes);
        break;
      case 5:
        container.snapshotter = field->bytes;
        break;
      case 6:
        container.snapshot_key = field->bytes;
        break;
      case 7:
        container.created = ReadWireTime(field->bytes);
        break;
      case 8:
        container.updated = ReadWireTime(field->bytes);
        break;
      case 9:
        ReadExtension(field->bytes, container.extensions);
        break;
      case 10:
        container.sandbox = field->bytes;
        break;
      default:
        break;
    }
  }
}

base::FieldLookup FieldsOf(const Container& container) {
  return [&container](const base::FieldPath& path) -> std::optional<std::string> {
    const auto non_empty = [](const std::string& text) {
      return text.empty() ? std::nullopt : std::optional(text);
    };
    if (path.size() == 1 && path[0] == "id") return non_empty(container.id);
    if (path.size() == 1 && path[0] == "image") return non_empty(container.image);
    if (path.size() == 2 && path[0] == "runtime" && path[1] == "name") {
      return non_empty(container.runtime.name);
    }
    if (path.size() < 2 || path[0] != "labels") return std::nullopt;
    const auto label = container.labels.find(base::JoinFieldPath(path, 1));
    if (label == container.labels.end()) return std::nullopt;
    return label->second;
  };
}

}  // namespace ctrd::metadata
