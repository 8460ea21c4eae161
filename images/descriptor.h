// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ctrd::images {

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
  std::string os_version;
  std::vector<std::string> os_features;

  bool empty() const { return os.empty() && architecture.empty(); }
  friend bool operator==(const Platform&, const Platform&) = default;
};

// An OCI content descriptor. `digest` is as it was found; whoever uses it as more than a name
// parses it first (base::Digest).
struct Descriptor {
  std::string media_type;
  std::string digest;
  int64_t size_bytes = 0;
  std::map<std::string, std::string> annotations;
  // Not carried by the image service's messages; found in manifests and indexes.
  std::vector<std::string> urls;
  std::string data;  // Decoded.
  std::string artifact_type;
  Platform platform;

  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

}  // namespace ctrd::images
