// SPDX-License-Identifier: Apache-2.0

// Tables of field numbers, as docs/api/cgroups-metrics.md has them, and names.
#include "metrics/cgroup_metrics.h"

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/wire.h"
#include "fmt/format.h"

namespace ctrd::metrics {
namespace {

using base::MetricKind;
using base::MetricLabels;
using base::MetricSink;
using base::WireReader;

struct Row {
  int field;
  const char* name;
};

// The fields of one message by number.
struct Message {
  std::map<int, uint64_t> numbers;
  std::map<int, std::string_view> parts;  // Of a repeated field the last one.
};

Message Parse(std::string_view bytes) {
  Message message;
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    if (field->bytes.empty()) message.numbers[field->number] = field->varint;
    message.parts[field->number] = field->bytes;
  }
  return message;
}

uint64_t NumberOf(const Message& message, int field) {
  const auto it = message.numbers.find(field);
  return it == message.numbers.end() ? 0 : it->second;
}

class Reporter {
 public:
  Reporter(const MetricLabels& labels, MetricSink& sink) : labels_(labels), sink_(sink) {}

  void Add(const std::string& name, uint64_t value, const MetricLabels& more = {}) {
    MetricLabels labels = labels_;
    labels.insert(labels.end(), more.begin(), more.end());
    sink_.Add(MetricKind::kGauge, name, "As the control group of the container says.",
              std::move(labels), static_cast<double>(value));
  }
  // One sample for each row: `format` makes a family of the row's name.
  void AddRows(const Message& message, std::span<const Row> rows, std::string_view format) {
    for (const Row& row : rows) {
      Add(fmt::format(fmt::runtime(format), row.name), NumberOf(message, row.field));
    }
  }

 private:
  const MetricLabels& labels_;
  MetricSink& sink_;
};

constexpr Row kPids[] = {{1, "current"}, {2, "limit"}};

// ---- Version 1.

constexpr Row kCpuUsageV1[] = {{1, "total"}, {2, "kernel"}, {3, "user"}};
constexpr Row kThrottling[] = {{1, "throttle_periods_total"},
                               {2, "throttled_periods_total"},
                               {3, "throttled_time_nanoseconds"}};
// 18 to 32 are the same fifteen of the whole hierarchy, "total_…".
constexpr Row kMemoryV1[] = {
    {1, "cache"},          {2, "rss"},          {3, "rss_huge"},       {4, "mapped_file"},
    {5, "dirty"},          {6, "writeback"},    {7, "pgpgin"},         {8, "pgpgout"},
    {9, "pgfault"},        {10, "pgmajfault"},  {11, "inactive_anon"}, {12, "active_anon"},
    {13, "inactive_file"}, {14, "active_file"}, {15, "unevictable"}};
constexpr int kFirstTotal = 17;
constexpr Row kMemoryLimitsV1[] = {{16, "hierarchical_memory_limit"},
                                   {17, "hierarchical_memsw_limit"}};
constexpr Row kMemoryEntries[] = {{33, "usage"}, {34, "swap"}, {35, "kernel"}, {36, "kerneltcp"}};
constexpr Row kMemoryEntry[] = {
    {1, "limit_bytes"}, {2, "usage_bytes"}, {3, "max_bytes"}, {4, "failcnt_total"}};
constexpr Row kHugeTlbV1[] = {{1, "usage_bytes"}, {2, "max_bytes"}, {3, "failcnt_total"}};
constexpr Row kBlockIo[] = {
    {1, "io_service_bytes_recursive_bytes"}, {2, "io_serviced_recursive_total"},
    {3, "io_queued_recursive_total"},        {4, "io_service_time_recursive_total"},
    {6, "io_merged_recursive_total"},        {7, "io_time_recursive_total"},
    {8, "sectors_recursive_total"}};

void ReportPerCpu(std::string_view usage, Reporter& reporter) {
  WireReader reader(usage);
  while (const auto field = reader.Next()) {
    if (field->number != 4) continue;
    // Packed numbers: each byte but the last of a number has its top bit set.
    uint64_t value = 0;
    int shift = 0, cpu = 0;
    for (const char c : field->bytes) {
      const auto byte = static_cast<unsigned char>(c);
      if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if ((byte & 0x80u) != 0) continue;
      reporter.Add("container_per_cpu_nanoseconds", value, {{"cpu", fmt::format("{}", cpu++)}});
      value = 0;
      shift = 0;
    }
  }
}

void ReportCpuV1(std::string_view bytes, Reporter& reporter) {
  const Message cpu = Parse(bytes);
  if (const auto usage = cpu.parts.find(1); usage != cpu.parts.end()) {
    reporter.AddRows(Parse(usage->second), kCpuUsageV1, "container_cpu_{}_nanoseconds");
    ReportPerCpu(usage->second, reporter);
  }
  if (const auto throttling = cpu.parts.find(2); throttling != cpu.parts.end()) {
    reporter.AddRows(Parse(throttling->second), kThrottling, "container_cpu_{}");
  }
}

void ReportMemoryV1(std::string_view bytes, Reporter& reporter) {
  const Message memory = Parse(bytes);
  reporter.AddRows(memory, kMemoryV1, "container_memory_{}_bytes");
  for (const Row& row : kMemoryV1) {
    reporter.Add(fmt::format("container_memory_total_{}_bytes", row.name),
                 NumberOf(memory, row.field + kFirstTotal));
  }
  reporter.AddRows(memory, kMemoryLimitsV1, "container_memory_{}_bytes");
  for (const Row& entry : kMemoryEntries) {
    const auto part = memory.parts.find(entry.field);
    if (part == memory.parts.end()) continue;
    reporter.AddRows(Parse(part->second), kMemoryEntry,
                     fmt::format("container_memory_{}_{{}}", entry.name));
  }
}

void ReportHugeTlbV1(std::string_view bytes, Reporter& reporter) {
  const Message pages = Parse(bytes);
  const auto size = pages.parts.find(4);
  const std::string page(size == pages.parts.end() ? "" : size->second);
  for (const Row& row : kHugeTlbV1) {
    reporter.Add(fmt::format("container_hugetlb_{}", row.name), NumberOf(pages, row.field),
                 {{"page", page}});
  }
}

void ReportBlockIo(std::string_view bytes, Reporter& reporter) {
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    for (const Row& row : kBlockIo) {
      if (row.field != field->number) continue;
      const Message entry = Parse(field->bytes);
      const auto text = [&](int number) {
        const auto it = entry.parts.find(number);
        return std::string(it == entry.parts.end() ? "" : it->second);
      };
      reporter.Add(fmt::format("container_blkio_{}", row.name), NumberOf(entry, 5),
                   {{"op", text(1)},
                    {"device", text(2)},
                    {"major", fmt::format("{}", NumberOf(entry, 3))},
                    {"minor", fmt::format("{}", NumberOf(entry, 4))}});
    }
  }
}

void ReportV1(std::string_view bytes, Reporter& reporter) {
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        ReportHugeTlbV1(field->bytes, reporter);
        break;
      case 2:
        reporter.AddRows(Parse(field->bytes), kPids, "container_pids_{}");
        break;
      case 3:
        ReportCpuV1(field->bytes, reporter);
        break;
      case 4:
        ReportMemoryV1(field->bytes, reporter);
        break;
      case 5:
        ReportBlockIo(field->bytes, reporter);
        break;
      default:
        break;
    }
  }
}

// ---- Version 2.

constexpr Row kCpuV2[] = {{1, "usage_usec_microseconds"},  {2, "user_usec_microseconds"},
                          {3, "system_usec_microseconds"}, {4, "nr_periods_total"},
                          {5, "nr_throttled_total"},       {6, "throttled_usec_microseconds"}};
constexpr Row kMemoryV2[] = {{1, "anon"},
                             {2, "file"},
                             {3, "kernel_stack"},
                             {4, "slab"},
                             {5, "sock"},
                             {6, "shmem"},
                             {7, "file_mapped"},
                             {8, "file_dirty"},
                             {9, "file_writeback"},
                             {10, "anon_thp"},
                             {11, "inactive_anon"},
                             {12, "active_anon"},
                             {13, "inactive_file"},
                             {14, "active_file"},
                             {15, "unevictable"},
                             {16, "slab_reclaimable"},
                             {17, "slab_unreclaimable"},
                             {18, "pgfault"},
                             {19, "pgmajfault"},
                             {20, "workingset_refault"},
                             {21, "workingset_activate"},
                             {22, "workingset_nodereclaim"},
                             {23, "pgrefill"},
                             {24, "pgscan"},
                             {25, "pgsteal"},
                             {26, "pgactivate"},
                             {27, "pgdeactivate"},
                             {28, "pglazyfree"},
                             {29, "pglazyfreed"},
                             {30, "thp_fault_alloc"},
                             {31, "thp_collapse_alloc"},
                             {32, "usage"},
                             {33, "usage_limit"},
                             {34, "swap_usage"},
                             {35, "swap_limit"}};
constexpr Row kIoV2[] = {
    {3, "rbytes_bytes"}, {4, "wbytes_bytes"}, {5, "rios_total"}, {6, "wios_total"}};

void ReportIoV2(std::string_view bytes, Reporter& reporter) {
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    if (field->number != 1) continue;
    const Message entry = Parse(field->bytes);
    for (const Row& row : kIoV2) {
      reporter.Add(fmt::format("container_io_{}", row.name), NumberOf(entry, row.field),
                   {{"major", fmt::format("{}", NumberOf(entry, 1))},
                    {"minor", fmt::format("{}", NumberOf(entry, 2))}});
    }
  }
}

void ReportV2(std::string_view bytes, Reporter& reporter) {
  WireReader reader(bytes);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        reporter.AddRows(Parse(field->bytes), kPids, "container_pids_{}");
        break;
      case 2:
        reporter.AddRows(Parse(field->bytes), kCpuV2, "container_cpu_{}");
        break;
      case 4:
        reporter.AddRows(Parse(field->bytes), kMemoryV2, "container_memory_{}_bytes");
        break;
      case 6:
        ReportIoV2(field->bytes, reporter);
        break;
      case 8:
        reporter.Add("container_memory_oom_total", NumberOf(Parse(field->bytes), 4));
        break;
      default:
        break;
    }
  }
}

}  // namespace

void ReportCgroup(const base::Any& statistics, const MetricLabels& labels, MetricSink& sink) {
  const std::string_view type = statistics.type_url;
  const std::string_view name = type.substr(type.rfind('/') + 1);
  Reporter reporter(labels, sink);
  if (name == "io.containerd.cgroups.v1.Metrics") ReportV1(statistics.value, reporter);
  if (name == "io.containerd.cgroups.v2.Metrics") ReportV2(statistics.value, reporter);
}

}  // namespace ctrd::metrics
