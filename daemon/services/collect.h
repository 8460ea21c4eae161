// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <functional>

#include "absl/status/status.h"
#include "base/context.h"

namespace ctrd::services {

// Runs a garbage collection and waits for it, clean-up of the back ends included: what a delete
// with `sync` promises. Fails with "gc failed".
using CollectGarbage = std::function<absl::Status(const base::Context& context)>;

}  // namespace ctrd::services
