// SPDX-License-Identifier: Apache-2.0
#include "metrics/container_metrics.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/log.h"
#include "metrics/cgroup_metrics.h"

namespace ctrd::metrics {
namespace {

// A namespace whose shims are mute takes its whole budget; it must not add up.
constexpr size_t kThreads = 8;

}  // namespace

void ContainerMetrics::Report(base::MetricSink& sink) const {
  const std::vector<std::string> namespaces = namespaces_();
  std::vector<std::vector<runtime::TaskStatistics>> found(namespaces.size());
  std::atomic<size_t> next = 0;
  const auto ask = [&] {
    for (size_t i = next++; i < namespaces.size(); i = next++) {
      auto statistics =
          tasks_.Statistics(base::Context(namespaces[i]), [](std::string_view) { return true; });
      if (statistics.ok()) {
        found[i] = *std::move(statistics);
      } else {
        base::LogWarn("statistics of a namespace are missing",
                      {{"namespace", namespaces[i]}, {"error", statistics.status()}});
      }
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(kThreads, namespaces.size()); ++i) others.emplace_back(ask);
  ask();
  for (std::thread& thread : others) thread.join();
  for (size_t i = 0; i < namespaces.size(); ++i) {
    const base::Context context(namespaces[i]);
    for (const runtime::TaskStatistics& task : found[i]) {
      base::MetricLabels labels = {{"container_id", task.id}, {"namespace", namespaces[i]}};
      if (std::string name = runtime_of_(context, task.id); !name.empty()) {
        labels.emplace_back("runtime", std::move(name));
      }
      ReportCgroup(task.data, labels, sink);
    }
  }
}

}  // namespace ctrd::metrics
