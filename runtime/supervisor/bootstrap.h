// SPDX-License-Identifier: Apache-2.0

// What daemon and shim tell each other when a shim starts, and what is kept of it on disk.
// Source document: docs/api/shim.md, section 3.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctrd::runtime {

// Where a shim listens.
struct ShimEndpoint {
  int version = 0;       // Of the task API: 2 or 3.
  std::string address;   // "unix:///…"
  std::string protocol;  // "ttrpc" or "grpc".
};

// The answer of the start call, of any generation: protobuf, JSON or a plain address.
//   kUnknown  "unsupported shim version (N)", "unexpected protocol: …"
absl::StatusOr<ShimEndpoint> DecodeStartAnswer(std::string_view output);

// "<protocol>+<address>", as requests and sandboxes give it.
absl::StatusOr<ShimEndpoint> ParseTaskApiAddress(std::string_view text, uint32_t version);

// The endpoint of a bundle: bootstrap.json, else the `address` file of older shims.
//   kNotFound  neither is there
absl::StatusOr<ShimEndpoint> ReadEndpoint(const std::string& bundle_path);
absl::Status WriteEndpoint(const std::string& bundle_path, const ShimEndpoint& endpoint);

}  // namespace ctrd::runtime
