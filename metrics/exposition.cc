// SPDX-License-Identifier: Apache-2.0
#include "metrics/exposition.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_replace.h"
#include "prometheus/text_serializer.h"

namespace ctrd::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

}  // namespace

ClientMetric& Exposition::AddTo(std::string_view name, MetricType type, std::string_view help,
                                base::MetricLabels labels) {
  auto it = families_.find(name);
  if (it == families_.end()) {
    // The serializer escapes labels and no help.
    std::string escaped =
        absl::StrReplaceAll({help.data(), help.size()}, {{"\\", "\\\\"}, {"\n", "\\n"}});
    it = families_.emplace(name, MetricFamily{std::string(name), std::move(escaped), type, {}})
             .first;
  }
  ClientMetric& metric = it->second.metric.emplace_back();
  std::sort(labels.begin(), labels.end());
  for (auto& [label, value] : labels) metric.label.push_back({std::move(label), std::move(value)});
  return metric;
}

void Exposition::Add(base::MetricKind kind, std::string_view name, std::string_view help,
                     base::MetricLabels labels, double value) {
  if (kind == base::MetricKind::kCounter) {
    AddTo(name, MetricType::Counter, help, std::move(labels)).counter.value = value;
  } else {
    AddTo(name, MetricType::Gauge, help, std::move(labels)).gauge.value = value;
  }
}

void Exposition::AddTimer(std::string_view name, std::string_view help, base::MetricLabels labels,
                          const base::Timer::Snapshot& timer) {
  auto& histogram = AddTo(name, MetricType::Histogram, help, std::move(labels)).histogram;
  for (size_t i = 0; i < timer.buckets.size(); ++i) {
    histogram.sample_count += timer.buckets[i];
    const bool last = i == base::Timer::kBounds.size();
    histogram.bucket.push_back(
        {.cumulative_count = histogram.sample_count,
         .upper_bound = last ? std::numeric_limits<double>::infinity() : base::Timer::kBounds[i]});
  }
  histogram.sample_sum = timer.sum_seconds;
}

std::vector<MetricFamily> Exposition::Families() const {
  std::vector<MetricFamily> families;
  families.reserve(families_.size());
  for (const auto& [name, family] : families_) {
    std::vector<ClientMetric>& metrics = families.emplace_back(family).metric;
    std::stable_sort(
        metrics.begin(), metrics.end(),
        [](const ClientMetric& a, const ClientMetric& b) { return a.label < b.label; });
  }
  return families;
}

std::string TextOf(const std::vector<MetricFamily>& families) {
  const prometheus::TextSerializer serializer;
  const prometheus::Serializer& to_string = serializer;
  // It writes 16 digits. One value of ours needs 17 to be read back the same: 2^64, which stands
  // for "no limit" in control groups of version 2 and in resource limits.
  return absl::StrReplaceAll(to_string.Serialize(families),
                             {{" 1.844674407370955e+19\n", " 1.8446744073709552e+19\n"}});
}

}  // namespace ctrd::metrics
