// SPDX-License-Identifier: Apache-2.0

// Any bytes as the log that an OCI runtime left.
#include "runtime/runc/runtime_log.h"
#include "tests/fuzz/fuzzer.h"

std::vector<std::string> ctrd::fuzz::Seeds() {
  return {"{\"level\":\"error\",\"msg\":\"no such file\",\"time\":\"2024-01-01T00:00:00Z\"}\n",
          "{\"level\":\"warning\",\"msg\":\"w\"}\n{\"level\":\"error\",\"msg\":\" e \"}\n",
          "garbage\n"};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"\"level\"", "\"error\"", "\"msg\":", "{\"a\":", "[", "\n", "\\u0000", "\\ud800"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto message = ctrd::runtime::runc::LastErrorOf(ctrd::fuzz::AsText(data, size));
  if (message.ok()) CTRD_FUZZ_CHECK(message->size() <= size * 3);
  return 0;
}
