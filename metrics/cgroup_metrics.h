// SPDX-License-Identifier: Apache-2.0

// From the statistics of a task, as its shim encodes them, to the families that dashboards know.
// Source document: docs/operations/metrics.md.
#pragma once

#include "base/any.h"
#include "base/metric.h"

namespace ctrd::metrics {

// Tells `statistics` under `labels`. Nothing for types other than io.containerd.cgroups.v1.Metrics
// and …v2.Metrics: what a virtual machine says of itself has no names here.
void ReportCgroup(const base::Any& statistics, const base::MetricLabels& labels,
                  base::MetricSink& sink);

}  // namespace ctrd::metrics
