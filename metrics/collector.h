// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "base/metric.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace ctrd::metrics {

// All sources of the daemon as one prometheus::Collectable: each Collect asks them anew, so that
// no value is kept twice. Thread-safe.
class Collector final : public prometheus::Collectable {
 public:
  // `sources` are borrowed.
  explicit Collector(std::vector<const base::MetricSource*> sources)
      : sources_(std::move(sources)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::vector<const base::MetricSource*> sources_;
};

}  // namespace ctrd::metrics
