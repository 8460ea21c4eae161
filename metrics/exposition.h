// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metric.h"

namespace ctrd::metrics {

// Exposition gathers what sources tell and writes it in Prometheus' text format, version 0.0.4:
// families by name, samples by label values, labels by name. Not thread-safe.
// Source document: docs/operations/metrics.md.
class Exposition final : public base::MetricSink {
 public:
  void Add(base::MetricKind kind, std::string_view name, std::string_view help,
           base::MetricLabels labels, double value) override;
  void AddTimer(std::string_view name, std::string_view help, base::MetricLabels labels,
                const base::Timer::Snapshot& timer) override;

  std::string Text() const;

 private:
  struct Line {
    std::string suffix;  // Of the name: "_bucket", "_sum", "_count" of a timer.
    std::string bound;   // Of a bucket.
    double value;
  };
  struct Family {
    std::string type;
    std::string help;
    std::multimap<base::MetricLabels, std::vector<Line>> samples;
  };
  Family& FamilyOf(std::string_view name, std::string_view type, std::string_view help);

  std::map<std::string, Family, std::less<>> families_;
};

inline constexpr char kTextContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace ctrd::metrics
