// SPDX-License-Identifier: Apache-2.0
#include "metrics/collector.h"

#include "metrics/exposition.h"

namespace ctrd::metrics {

std::vector<prometheus::MetricFamily> Collector::Collect() const {
  Exposition exposition;
  for (const base::MetricSource* source : sources_) source->Report(exposition);
  return exposition.Families();
}

}  // namespace ctrd::metrics
