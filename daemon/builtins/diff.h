// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "daemon/plugin/registry.h"
#include "images/diff/differ.h"
#include "images/diff/walking_differ.h"

namespace ctrd::builtins {

// The differs the configuration chose, in the order in which they are asked.
struct DifferChain {
  std::vector<diff::Differ*> differs;
  bool sync_fs = false;
};

// Temporary directory and stream processors of the configuration, and the mount manager.
diff::WalkingOptions WalkingOptionsOf(const plugin::InitContext& init);

}  // namespace ctrd::builtins
