// SPDX-License-Identifier: Apache-2.0

// Any bytes as ttrpc envelopes: what was understood means the same after it was written again.
#include "base/status.h"
#include "runtime/ttrpc/frame.h"
#include "tests/fuzz/fuzzer.h"

namespace ttrpc = ctrd::runtime::ttrpc;

namespace {

void CheckRequest(std::string_view bytes) {
  const auto request = ttrpc::DecodeRequest(bytes);
  if (!request.ok()) return;
  const auto frame = ttrpc::EncodeRequestFrame(1, *request);
  if (!frame.ok()) return;  // It grew past the limit.
  const auto again = ttrpc::DecodeRequest(std::string_view(*frame).substr(ttrpc::kHeaderBytes));
  CTRD_FUZZ_CHECK(again.ok());
  CTRD_FUZZ_CHECK(again->service == request->service && again->method == request->method);
  CTRD_FUZZ_CHECK(again->payload == request->payload && again->metadata == request->metadata);
  CTRD_FUZZ_CHECK(again->timeout_nanoseconds == request->timeout_nanoseconds);
}

void CheckResponse(std::string_view bytes) {
  const auto response = ttrpc::DecodeResponse(bytes);
  const auto frame = ttrpc::EncodeResponseFrame(1, response);
  if (!frame.ok()) return;
  const auto again = ttrpc::DecodeResponse(std::string_view(*frame).substr(ttrpc::kHeaderBytes));
  CTRD_FUZZ_CHECK(again.ok() == response.ok());
  CTRD_FUZZ_CHECK(again.status() == response.status());
  if (response.ok()) CTRD_FUZZ_CHECK(*again == *response);
}

std::string Envelope(const ttrpc::Request& request) {
  return ttrpc::EncodeRequestFrame(1, request)->substr(ttrpc::kHeaderBytes);
}

}  // namespace

std::vector<std::string> ctrd::fuzz::Seeds() {
  const ttrpc::Request request = {.service = "containerd.task.v3.Task",
                                  .method = "Connect",
                                  .payload = "\n\2c1",
                                  .timeout_nanoseconds = 2'000'000'000,
                                  .metadata = {{std::string(ttrpc::kNamespaceKey), "default"}}};
  const ttrpc::Response error = absl::NotFoundError("container not created: not found");
  return {Envelope(request), ttrpc::EncodeResponseFrame(1, error)->substr(ttrpc::kHeaderBytes),
          ttrpc::EncodeResponseFrame(1, std::string("payload"))->substr(ttrpc::kHeaderBytes)};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"\x0a\x04", "\x12\x04", "\x1a\xff\xff\xff\xff\x0f",
          "\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x2a\x02\x0a"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  CheckRequest(ctrd::fuzz::AsText(data, size));
  CheckResponse(ctrd::fuzz::AsText(data, size));
  return 0;
}
