// SPDX-License-Identifier: Apache-2.0

// What a shim's start call prints, as the daemon reads it, and task addresses given by clients.
#include "runtime/supervisor/bootstrap.h"
#include "tests/fuzz/fuzzer.h"

std::vector<std::string> ctrd::fuzz::Seeds() {
  return {R"({"version":3,"address":"unix:///run/containerd/s/abc","protocol":"ttrpc"})",
          "unix:///run/containerd/s/abc\n", std::string("\x08\x03\x12\x09unix:///a\x1a\x05ttrpc"),
          "ttrpc+unix:///run/containerd/s/abc"};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"\"version\":", "\"address\":", "grpc", "ttrpc", "unix://", "vsock://", "[", "{\"a\":"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = ctrd::fuzz::AsText(data, size);
  const auto endpoint = ctrd::runtime::DecodeStartAnswer(text);
  if (endpoint.ok()) CTRD_FUZZ_CHECK(endpoint->protocol == "ttrpc" || endpoint->protocol == "grpc");
  (void)ctrd::runtime::ParseTaskApiAddress(text, 3);
  return 0;
}
