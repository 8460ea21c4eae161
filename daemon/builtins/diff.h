// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "daemon/config/config.h"
#include "images/diff/differ.h"
#include "images/diff/walking_differ.h"

namespace ctrd::builtins {

// The differs the configuration chose, in the order in which they are asked.
struct DifferChain {
  std::vector<diff::Differ*> differs;
  bool sync_fs = false;
};

// Temporary directory and stream processors of the configuration.
diff::WalkingOptions WalkingOptionsOf(const config::Config& config);

}  // namespace ctrd::builtins
