// SPDX-License-Identifier: Apache-2.0
#include "ctr/task_metrics.h"

#include "base/json.h"
#include "base/status.h"
#include "cgroups/v1/metrics.pb.h"
#include "cgroups/v2/metrics.pb.h"
#include "ctr/cli/table.h"
#include "ctr/output.h"

namespace ctrd::ctr {
namespace {

namespace v1 = io::containerd::cgroups::v1;
namespace v2 = io::containerd::cgroups::v2;

template <typename Message>
bool Decode(const google::protobuf::Any& any, Message& message) {
  const std::string& type = any.type_url();
  return type.substr(type.rfind('/') + 1) == message.GetTypeName() &&
         message.ParseFromString(any.value());
}

void AddNumber(Table& table, const std::string& name, uint64_t value) {
  table.Row({name, std::to_string(value)});
}

void Describe(const v1::Metrics& metrics, Table& table) {
  AddNumber(table, "memory.usage_in_bytes", metrics.memory().usage().usage());
  AddNumber(table, "memory.limit_in_bytes", metrics.memory().usage().limit());
  AddNumber(table, "memory.stat.cache", metrics.memory().total_cache());
  AddNumber(table, "cpuacct.usage", metrics.cpu().usage().total());
  std::string each;
  for (uint64_t usage : metrics.cpu().usage().per_cpu()) {
    each += (each.empty() ? "" : " ") + std::to_string(usage);
  }
  table.Row({"cpuacct.usage_percpu", "[" + each + "]"});
  AddNumber(table, "pids.current", metrics.pids().current());
  AddNumber(table, "pids.limit", metrics.pids().limit());
}

void Describe(const v2::Metrics& metrics, Table& table) {
  AddNumber(table, "pids.current", metrics.pids().current());
  AddNumber(table, "pids.limit", metrics.pids().limit());
  AddNumber(table, "cpu.usage_usec", metrics.cpu().usage_usec());
  AddNumber(table, "cpu.user_usec", metrics.cpu().user_usec());
  AddNumber(table, "cpu.system_usec", metrics.cpu().system_usec());
  AddNumber(table, "cpu.nr_periods", metrics.cpu().nr_periods());
  AddNumber(table, "cpu.nr_throttled", metrics.cpu().nr_throttled());
  AddNumber(table, "cpu.throttled_usec", metrics.cpu().throttled_usec());
  AddNumber(table, "memory.usage", metrics.memory().usage());
  AddNumber(table, "memory.usage_limit", metrics.memory().usage_limit());
  AddNumber(table, "memory.swap_usage", metrics.memory().swap_usage());
  AddNumber(table, "memory.swap_limit", metrics.memory().swap_limit());
}

template <typename Metrics>
absl::Status PrintAs(const containerd::types::Metric& metric, const Metrics& metrics,
                     const std::string& format) {
  if (format == "json") {
    PrintLine(base::DumpJson(ToJson(metrics), 2));
    return absl::OkStatus();
  }
  if (format != "table") return base::Unknown("format {} not recognized", format);
  Table table(Table::kWide);
  table.Row({"ID", "TIMESTAMP"});
  table.Row({metric.id(), GoTime(metric.timestamp())});
  table.Write("\n");
  table.Row({"METRIC", "VALUE"});
  Describe(metrics, table);
  table.Print();
  return absl::OkStatus();
}

}  // namespace

absl::Status PrintMetrics(const containerd::types::Metric& metric, const std::string& format) {
  if (v1::Metrics metrics; Decode(metric.data(), metrics)) return PrintAs(metric, metrics, format);
  if (v2::Metrics metrics; Decode(metric.data(), metrics)) return PrintAs(metric, metrics, format);
  return base::Unknown("cannot convert metric data to cgroups.Metrics");
}

}  // namespace ctrd::ctr
