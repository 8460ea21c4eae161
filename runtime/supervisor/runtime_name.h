// SPDX-License-Identifier: Apache-2.0

// From the name of a runtime to the binary of its shim: "io.containerd.runc.v2" is
// "containerd-shim-runc-v2" in $PATH. Thread-safe.
// Source document: docs/api/shim.md, section 1.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ctrd::runtime {

// The name of the binary for a dotted runtime name.
//   kUnknown  "invalid runtime name X, correct runtime name should be …"
absl::StatusOr<std::string> ShimBinaryName(std::string_view runtime);

class ShimResolver {
 public:
  // `extra_directory` is searched after $PATH: where the daemon's own binary is.
  explicit ShimResolver(std::string extra_directory)
      : extra_directory_(std::move(extra_directory)) {}

  // The absolute path of the shim for `runtime`, a name or an absolute path. What was found for a
  // name is remembered.
  //   kUnknown  with the texts of the document above
  absl::StatusOr<std::string> Resolve(const std::string& runtime);

 private:
  const std::string extra_directory_;
  std::mutex mutex_;
  std::map<std::string, std::string> found_;
};

}  // namespace ctrd::runtime
