// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/metric.h"
#include "runtime/task_runtime.h"

namespace ctrd::metrics {

// The control groups of all tasks, running or stopped, until they are deleted. Each scrape asks
// the shims, all at once and for as long as the runtime lets Statistics take; a task that does not
// answer is missing from that scrape. Thread-safe.
class ContainerMetrics final : public base::MetricSource {
 public:
  // The namespaces there are, and the runtime of a container ("" if unknown).
  using Namespaces = std::function<std::vector<std::string>()>;
  using RuntimeOf = std::function<std::string(const base::Context& context, const std::string& id)>;

  // `tasks` is borrowed.
  ContainerMetrics(runtime::TaskRuntime& tasks, Namespaces namespaces, RuntimeOf runtime_of)
      : tasks_(tasks), namespaces_(std::move(namespaces)), runtime_of_(std::move(runtime_of)) {}
  void Report(base::MetricSink& sink) const override;

 private:
  runtime::TaskRuntime& tasks_;
  const Namespaces namespaces_;
  const RuntimeOf runtime_of_;
};

}  // namespace ctrd::metrics
