// SPDX-License-Identifier: Apache-2.0

// Any bytes as a tar stream: read to the end, with data, and never past a buffer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "images/archive/tar_reader.h"

namespace {

void ReadAll(ctrd::archive::ByteSource& source) {
  ctrd::archive::TarReader reader(source);
  while (true) {
    const auto entry = reader.Next();
    if (!entry.ok() || *entry == nullptr) break;
    for (auto data = reader.ReadData(); data.ok() && !data->empty(); data = reader.ReadData()) {
    }
  }
  (void)reader.Drain();  // What a broken archive leaves unread.
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ctrd::archive::MemorySource source(std::string_view(reinterpret_cast<const char*>(data), size));
  ReadAll(source);
  return 0;
}
