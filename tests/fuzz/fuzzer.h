// SPDX-License-Identifier: Apache-2.0

// What a fuzzer of ours is made of. Its entry point is libFuzzer's, so that it runs under libFuzzer
// as it is (docs/development.md); at every build driver.cc runs it instead.
//
// A fuzzer says what must hold with CTRD_FUZZ_CHECK: the sanitizers see what else goes wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace ctrd::fuzz {

// Inputs as good peers send them, to start from.
std::vector<std::string> Seeds();
// Pieces of the language that chance would not find.
std::vector<std::string> Words();

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Takes the bytes up to the next `separator` off `rest`.
inline std::string_view TakePart(std::string_view& rest, char separator = '\0') {
  const std::string_view part = rest.substr(0, rest.find(separator));
  rest.remove_prefix(rest.size() > part.size() ? part.size() + 1 : part.size());
  return part;
}

}  // namespace ctrd::fuzz

#define CTRD_FUZZ_CHECK(condition)                                                 \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)
