// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/identifiers.h"

namespace ctrd::metadata {

// An activation of the mount manager, as the collector sees it.
struct CollectibleMount {
  uint64_t id = 0;  // Never used again for another activation, unlike the name.
  std::string name;
  std::string lease;  // "" for none.
  base::Labels labels;
};

// What the collector needs of the mount manager, which keeps its records elsewhere. Thread-safe.
class CollectibleMounts {
 public:
  virtual ~CollectibleMounts() = default;
  virtual std::vector<std::string> MountNamespaces() = 0;
  virtual std::vector<CollectibleMount> MountsOf(std::string_view namespace_name) = 0;
  // Deactivates it, if it is still there. What fails is logged.
  virtual void CollectMount(std::string_view namespace_name, const CollectibleMount& mount) = 0;
};

}  // namespace ctrd::metadata
