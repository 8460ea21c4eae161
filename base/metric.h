// SPDX-License-Identifier: Apache-2.0

// Metrics, as all layers count them. A layer keeps instruments (Counter, Gauge, Timer) as members
// of whatever does the work, and tells their values when it is asked:
//
//   class Supervisor : …, public base::MetricSource {
//     void Report(base::MetricSink& sink) const override {
//       sink.AddCounter("containerd_shims_adopted_total", "Shims found again.", adopted_.value());
//     }
//     base::Counter adopted_;  // adopted_.Add();
//
// Nobody asks while metrics are off: an instrument then costs its few bytes and one relaxed
// addition. The endpoint (metrics/) asks all sources at each scrape; the daemon finds them as the
// MetricSource interface of its plugins' instances.
//
// Names end in a unit ("_total" for counters, "_seconds"), labels have few and closed values: never
// an id, except in the families of containers. Source document: docs/operations/metrics.md.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace ctrd::base {

// ---- Instruments. Thread-safe, and never wait.

class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

class Gauge {
 public:
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_ = 0;
};

// How long things took, in buckets.
class Timer {
 public:
  // Upper bounds in seconds, inclusive; the last bucket has none.
  static constexpr std::array<double, 11> kBounds = {.005, .01, .025, .05, .1, .25,
                                                     .5,   1,   2.5,  5,   10};
  void Observe(absl::Duration duration);

  struct Snapshot {
    std::array<uint64_t, kBounds.size() + 1> buckets;  // Each one by itself, not cumulative.
    double sum_seconds = 0;
  };
  Snapshot snapshot() const;

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> buckets_ = {};
  std::atomic<uint64_t> sum_nanoseconds_ = 0;
};

// ---- What is told.

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

enum class MetricKind { kCounter, kGauge };

// Takes the values of one moment. Samples of one name may come from several sources, and in any
// order; kind and help of a name must be the same everywhere. Not thread-safe.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual void Add(MetricKind kind, std::string_view name, std::string_view help,
                   MetricLabels labels, double value) = 0;
  virtual void AddTimer(std::string_view name, std::string_view help, MetricLabels labels,
                        const Timer::Snapshot& timer) = 0;

  void AddCounter(std::string_view name, std::string_view help, uint64_t value,
                  MetricLabels labels = {}) {
    Add(MetricKind::kCounter, name, help, std::move(labels), static_cast<double>(value));
  }
  void AddGauge(std::string_view name, std::string_view help, int64_t value,
                MetricLabels labels = {}) {
    Add(MetricKind::kGauge, name, help, std::move(labels), static_cast<double>(value));
  }
};

// Has metrics to tell. Report comes from any thread, with a short budget: a source that must ask
// somebody leaves out what does not answer in time.
class MetricSource {
 public:
  virtual ~MetricSource() = default;
  virtual void Report(MetricSink& sink) const = 0;
};

}  // namespace ctrd::base
