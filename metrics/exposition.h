// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/metric.h"
#include "prometheus/metric_family.h"

namespace ctrd::metrics {

// Exposition gathers what sources tell into prometheus-cpp's families, which its serializer writes
// as text: families by name, samples by label values, labels by name. Not thread-safe.
// Source document: docs/operations/metrics.md.
class Exposition final : public base::MetricSink {
 public:
  void Add(base::MetricKind kind, std::string_view name, std::string_view help,
           base::MetricLabels labels, double value) override;
  void AddTimer(std::string_view name, std::string_view help, base::MetricLabels labels,
                const base::Timer::Snapshot& timer) override;

  // What was told so far.
  std::vector<prometheus::MetricFamily> Families() const;

 private:
  prometheus::ClientMetric& AddTo(std::string_view name, prometheus::MetricType type,
                                  std::string_view help, base::MetricLabels labels);

  std::map<std::string, prometheus::MetricFamily, std::less<>> families_;
};

// `families` in Prometheus' text format, version 0.0.4.
std::string TextOf(const std::vector<prometheus::MetricFamily>& families);

inline constexpr char kTextContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace ctrd::metrics
