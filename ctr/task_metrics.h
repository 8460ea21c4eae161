// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "types/metrics.pb.h"

namespace ctrd::ctr {

// `format`: "table" or "json".
absl::Status PrintMetrics(const containerd::types::Metric& metric, const std::string& format);

}  // namespace ctrd::ctr
