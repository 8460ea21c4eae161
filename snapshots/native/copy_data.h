// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace ctrd::snapshots {

// Makes the empty file `to` a copy of the first `size` bytes of `from`: shared blocks if the file
// system can, else the data without its holes.
absl::Status CopyData(int from, int to, int64_t size, std::string_view name);

}  // namespace ctrd::snapshots
