// SPDX-License-Identifier: Apache-2.0
#include "base/metric.h"

#include <algorithm>

namespace ctrd::base {

void Timer::Observe(absl::Duration duration) {
  duration = std::max(duration, absl::ZeroDuration());  // A clock that was set back.
  const auto bucket =
      std::lower_bound(kBounds.begin(), kBounds.end(), absl::ToDoubleSeconds(duration));
  buckets_[bucket - kBounds.begin()].fetch_add(1, std::memory_order_relaxed);
  sum_nanoseconds_.fetch_add(absl::ToInt64Nanoseconds(duration), std::memory_order_relaxed);
}

Timer::Snapshot Timer::snapshot() const {
  Snapshot snapshot;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    snapshot.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
  }
  snapshot.sum_seconds =
      static_cast<double>(sum_nanoseconds_.load(std::memory_order_relaxed)) / 1e9;
  return snapshot;
}

}  // namespace ctrd::base
