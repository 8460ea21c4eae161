// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "base/metric.h"

namespace ctrd::metrics {

// What the kernel says of this process: CPU time, memory, descriptors, threads, bytes of the
// network. What cannot be read is left out.
class ProcessMetrics final : public base::MetricSource {
 public:
  // `proc` is "/proc" but in tests.
  explicit ProcessMetrics(std::string proc = "/proc") : proc_(std::move(proc)) {}
  void Report(base::MetricSink& sink) const override;

 private:
  const std::string proc_;
};

// Version and revision of the program, as a counter that is always 1.
class BuildInfo final : public base::MetricSource {
 public:
  BuildInfo(std::string version, std::string revision)
      : version_(std::move(version)), revision_(std::move(revision)) {}
  void Report(base::MetricSink& sink) const override;

 private:
  const std::string version_, revision_;
};

}  // namespace ctrd::metrics
