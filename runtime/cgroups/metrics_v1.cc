// SPDX-License-Identifier: Apache-2.0

// io.containerd.cgroups.v1.Metrics from the files of one hierarchy per controller. A missing file
// leaves the rest of its controller's section unset and is no error.
#include <unistd.h>

#include "base/files.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/cgroups/cgroup_file.h"

namespace ctrd::runtime::cgroups {
namespace {

constexpr uint64_t kMax = 0;  // What "max" is in this message.
constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

// Fields 1 to 15 and, as total_…, 18 to 32 of MemoryStat.
constexpr const char* kMemoryKeys[] = {
    "cache",         "rss",         "rss_huge",      "mapped_file", "dirty",
    "writeback",     "pgpgin",      "pgpgout",       "pgfault",     "pgmajfault",
    "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"};

void AppendHugePages(const std::string& directory, base::WireWriter& metrics) {
  if (directory.empty()) return;
  for (const std::string& size : HugePageSizes()) {
    const std::string stem = directory + "/hugetlb." + size;
    if (!base::Exists(stem + ".usage_in_bytes")) continue;
    metrics.Message(1, base::WireWriter()
                           .Varint(1, ReadNumber(stem + ".usage_in_bytes", kMax))
                           .Varint(2, ReadNumber(stem + ".max_usage_in_bytes", kMax))
                           .Varint(3, ReadNumber(stem + ".failcnt", kMax))
                           .Bytes(4, size)
                           .Take());
  }
}

std::string Usage(const std::string& directory) {
  base::WireWriter usage;
  if (directory.empty()) return usage.Take();
  const absl::StatusOr<KeyValues> stat = ReadKeyValues(directory + "/cpuacct.stat");
  const auto ticks = static_cast<uint64_t>(::sysconf(_SC_CLK_TCK));
  usage.Varint(1, ReadNumber(directory + "/cpuacct.usage", kMax));
  if (stat.ok()) {
    usage.Varint(2, ValueOf(*stat, "system") * kNanosecondsPerSecond / ticks);
    usage.Varint(3, ValueOf(*stat, "user") * kNanosecondsPerSecond / ticks);
  }
  std::vector<uint64_t> per_cpu;
  for (const std::string& text = ReadText(directory + "/cpuacct.usage_percpu");
       const std::string_view word : Split(text, ' ')) {
    per_cpu.push_back(ParseNumber(word, kMax));
  }
  return usage.Packed(4, per_cpu).Take();
}

std::string Throttling(const std::string& directory) {
  base::WireWriter throttling;
  if (directory.empty()) return throttling.Take();
  const absl::StatusOr<KeyValues> stat = ReadKeyValues(directory + "/cpu.stat");
  if (!stat.ok()) return throttling.Take();
  int field = 1;
  for (const char* key : {"nr_periods", "nr_throttled", "throttled_time"}) {
    throttling.Varint(field++, ValueOf(*stat, key));
  }
  return throttling.Take();
}

// memory.<group>{limit,usage,max_usage}_in_bytes and failcnt; false if the group is not there.
bool AppendMemoryEntry(int field, const std::string& stem, base::WireWriter& memory) {
  if (!base::Exists(stem + "usage_in_bytes")) return false;
  base::WireWriter entry;
  int number = 1;
  for (const char* name : {"limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes", "failcnt"}) {
    entry.Varint(number++, ReadNumber(stem + name, kMax));
  }
  memory.Message(field, entry.Take());
  return true;
}

void AppendMemory(const std::string& directory, base::WireWriter& metrics) {
  if (directory.empty() || !base::Exists(directory + "/memory.stat")) return;
  const absl::StatusOr<KeyValues> stat = ReadKeyValues(directory + "/memory.stat");
  if (!stat.ok()) return;
  base::WireWriter memory;
  int field = 1;
  for (const char* key : kMemoryKeys) memory.Varint(field++, ValueOf(*stat, key));
  memory.Varint(field++, ValueOf(*stat, "hierarchical_memory_limit"));
  memory.Varint(field++, ValueOf(*stat, "hierarchical_memsw_limit"));
  for (const char* key : kMemoryKeys) {
    memory.Varint(field++, ValueOf(*stat, std::string("total_") + key));
  }
  for (const char* group : {"", "memsw.", "kmem.", "kmem.tcp."}) {
    if (!AppendMemoryEntry(field++, directory + "/memory." + group, memory)) break;
  }
  metrics.Message(4, memory.Take());
}

// The name of a device by its numbers: "/dev/sda", or "".
std::string DeviceName(const std::string& partitions, std::string_view major,
                       std::string_view minor) {
  for (const std::string_view line : Split(partitions, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    if (words.size() == 4 && words[0] == major && words[1] == minor) {
      return "/dev/" + std::string(words[3]);
    }
  }
  return "";
}

// Lines of "8:0 Read 4096"; the lines of sums are left out. True if there was any.
bool AppendBlockEntries(int field, const std::string& path, const std::string& partitions,
                        base::WireWriter& blkio) {
  bool any = false;
  for (const std::string& text = ReadText(path); const std::string_view line : Split(text, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    if (words.empty()) continue;
    const size_t colon = words[0].find(':');
    if (words.size() < 2 || words[0] == "Total" || colon == std::string_view::npos) continue;
    const std::string_view operation = words.size() > 2 ? words[1] : std::string_view();
    if (operation == "Total") continue;
    const std::string_view major = words[0].substr(0, colon), minor = words[0].substr(colon + 1);
    blkio.Message(field, base::WireWriter()
                             .Bytes(1, operation)
                             .Bytes(2, DeviceName(partitions, major, minor))
                             .Varint(3, ParseNumber(major, 0))
                             .Varint(4, ParseNumber(minor, 0))
                             .Varint(5, ParseNumber(words.back(), 0))
                             .Take());
    any = true;
  }
  return any;
}

void AppendBlockIo(const std::string& directory, base::WireWriter& metrics) {
  if (directory.empty()) return;
  const std::string partitions = ReadText("/proc/partitions");
  const std::string stem = directory + "/blkio.";
  base::WireWriter blkio;
  bool any = false;
  if (base::Exists(stem + "io_serviced_recursive")) {
    int field = 1;
    for (const char* name : {"io_service_bytes", "io_serviced", "io_queued", "io_service_time",
                             "io_wait_time", "io_merged", "time", "sectors"}) {
      any |= AppendBlockEntries(field++, stem + name + "_recursive", partitions, blkio);
    }
  }
  if (!any) {
    (void)AppendBlockEntries(1, stem + "throttle.io_service_bytes", partitions, blkio);
    (void)AppendBlockEntries(2, stem + "throttle.io_serviced", partitions, blkio);
  }
  metrics.Message(5, blkio.Take());
}

void AppendOomControl(const std::string& directory, base::WireWriter& metrics) {
  if (directory.empty() || !base::Exists(directory + "/memory.oom_control")) return;
  const absl::StatusOr<KeyValues> values = ReadKeyValues(directory + "/memory.oom_control");
  if (!values.ok()) return;
  base::WireWriter control;
  int field = 1;
  for (const char* key : {"oom_kill_disable", "under_oom", "oom_kill"}) {
    control.Varint(field++, ValueOf(*values, key));
  }
  metrics.Message(9, control.Take());
}

}  // namespace

absl::StatusOr<std::string> EncodeV1(const Cgroup& cgroup) {
  base::WireWriter metrics;
  AppendHugePages(cgroup.DirectoryOf("hugetlb"), metrics);
  if (const std::string pids = cgroup.DirectoryOf("pids"); !pids.empty()) {
    metrics.Message(2, base::WireWriter()
                           .Varint(1, ReadNumber(pids + "/pids.current", kMax))
                           .Varint(2, ReadNumber(pids + "/pids.max", kMax))
                           .Take());
  }
  metrics.Message(3, base::WireWriter()
                         .Message(1, Usage(cgroup.DirectoryOf("cpuacct")))
                         .Message(2, Throttling(cgroup.DirectoryOf("cpu")))
                         .Take());
  AppendMemory(cgroup.DirectoryOf("memory"), metrics);
  AppendBlockIo(cgroup.DirectoryOf("blkio"), metrics);
  if (const std::string rdma = cgroup.DirectoryOf("rdma"); !rdma.empty()) {
    metrics.Message(6, EncodeRdma(rdma));
  }
  AppendOomControl(cgroup.DirectoryOf("memory"), metrics);
  return metrics.Take();
}

}  // namespace ctrd::runtime::cgroups
