// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/extensions.h"

namespace ctrd::metadata {

using base::WireReader;
using base::WireWriter;

void WriteExtensions(WireWriter& writer, int field, const Extensions& extensions) {
  for (const auto& [key, value] : extensions) {
    writer.Message(field, WireWriter().Bytes(1, key).Any(2, value).Take());
  }
}

void ReadExtension(std::string_view entry, Extensions& extensions) {
  std::string key;
  base::Any value;
  WireReader reader(entry);
  while (auto field = reader.Next()) {
    if (field->number == 1) key = field->bytes;
    if (field->number == 2) value = base::ReadWireAny(field->bytes);
  }
  extensions[key] = std::move(value);
}

std::string EncodeRuntime(const RuntimeInfo& runtime) {
  return WireWriter().Bytes(1, runtime.name).Any(2, runtime.options).Take();
}

RuntimeInfo DecodeRuntime(std::string_view bytes) {
  RuntimeInfo runtime;
  WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) runtime.name = field->bytes;
    if (field->number == 2) runtime.options = base::ReadWireAny(field->bytes);
  }
  return runtime;
}

}  // namespace ctrd::metadata
