// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/process.h"
#include "base/unique_fd.h"

namespace ctrd::registry {

// A real registry (docker-registry) on a port of 127.0.0.1, with its blobs in a directory of its
// own that goes with it.  kNotFound when the program is not installed.
class RegistryServer {
 public:
  static absl::StatusOr<std::unique_ptr<RegistryServer>> Start();
  ~RegistryServer();

  const std::string& host() const { return host_; }  // "127.0.0.1:<port>"
  // The file that holds the blob's bytes.
  std::string BlobPath(const std::string& digest) const;

 private:
  RegistryServer() = default;
  std::string host_;
  std::string directory_;
  base::UniqueFd log_;
  base::Child child_;
};

}  // namespace ctrd::registry
