// SPDX-License-Identifier: Apache-2.0

// Any bytes as a compressed stream, in pieces of a size that the first byte picks.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "images/archive/compression.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kOutputLimit = 16 << 20;  // Small inputs may inflate to very large outputs.
  if (size == 0) return 0;
  ctrd::archive::MemorySource source(
      std::string_view(reinterpret_cast<const char*>(data + 1), size - 1), data[0]);
  const auto plain = ctrd::archive::OpenDecompressor(source);
  if (!plain.ok()) return 0;
  char buffer[4096];
  for (size_t total = 0; total < kOutputLimit;) {
    const auto count = (*plain)->Read(buffer);
    if (!count.ok() || *count == 0) break;
    total += *count;
  }
  return 0;
}
