// SPDX-License-Identifier: Apache-2.0

// io.containerd.cgroups.v2.Metrics from the files of the unified hierarchy.
#include <charconv>

#include "base/status.h"
#include "base/wire.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/cgroups/cgroup_file.h"

namespace ctrd::runtime::cgroups {
namespace {

// Fields 1 to 31 of MemoryStat, in order.
constexpr const char* kMemoryKeys[] = {"anon",
                                       "file",
                                       "kernel_stack",
                                       "slab",
                                       "sock",
                                       "shmem",
                                       "file_mapped",
                                       "file_dirty",
                                       "file_writeback",
                                       "anon_thp",
                                       "inactive_anon",
                                       "active_anon",
                                       "inactive_file",
                                       "active_file",
                                       "unevictable",
                                       "slab_reclaimable",
                                       "slab_unreclaimable",
                                       "pgfault",
                                       "pgmajfault",
                                       "workingset_refault",
                                       "workingset_activate",
                                       "workingset_nodereclaim",
                                       "pgrefill",
                                       "pgscan",
                                       "pgsteal",
                                       "pgactivate",
                                       "pgdeactivate",
                                       "pglazyfree",
                                       "pglazyfreed",
                                       "thp_fault_alloc",
                                       "thp_collapse_alloc"};

double ParseDouble(std::string_view text) {
  double value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);  // 0 if it is none.
  return value;
}

// Lines of "some avg10=0.00 avg60=0.00 avg300=0.00 total=0". Without the file, no message.
void AppendPressure(int field, const std::string& path, base::WireWriter& writer) {
  base::WireWriter pressure;
  bool any = false;
  for (const std::string& text = ReadText(path); const std::string_view line : Split(text, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    if (words.empty()) continue;
    const int kind = words[0] == "some" ? 1 : words[0] == "full" ? 2 : 0;
    if (kind == 0) continue;
    base::WireWriter data;
    for (const std::string_view word : words) {
      if (word.starts_with("avg10=")) data.Double(1, ParseDouble(word.substr(6)));
      if (word.starts_with("avg60=")) data.Double(2, ParseDouble(word.substr(6)));
      if (word.starts_with("avg300=")) data.Double(3, ParseDouble(word.substr(7)));
      if (word.starts_with("total=")) data.Varint(4, ParseNumber(word.substr(6), 0));
    }
    pressure.Message(kind, data.Take());
    any = true;
  }
  if (any) writer.Message(field, pressure.Take());
}

absl::StatusOr<std::string> Cpu(const std::string& directory) {
  ASSIGN_OR_RETURN(const KeyValues stat, ReadKeyValues(directory + "/cpu.stat"));
  base::WireWriter cpu;
  int field = 1;
  for (const char* key :
       {"usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec"}) {
    cpu.Varint(field++, ValueOf(stat, key));
  }
  AppendPressure(7, directory + "/cpu.pressure", cpu);
  cpu.Varint(8, ValueOf(stat, "nr_bursts")).Varint(9, ValueOf(stat, "burst_usec"));
  return cpu.Take();
}

absl::StatusOr<std::string> Memory(const std::string& directory) {
  ASSIGN_OR_RETURN(const KeyValues stat, ReadKeyValues(directory + "/memory.stat"));
  base::WireWriter memory;
  int field = 1;
  for (const char* key : kMemoryKeys) memory.Varint(field++, ValueOf(stat, key));
  for (const char* name : {"current", "max", "swap.current", "swap.max", "peak", "swap.peak"}) {
    memory.Varint(field++, ReadNumber(directory + "/memory." + name, UINT64_MAX));
  }
  AppendPressure(38, directory + "/memory.pressure", memory);
  return memory.Take();
}

// Lines of "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …".
std::string Io(const std::string& directory) {
  base::WireWriter io;
  for (const std::string& text = ReadText(directory + "/io.stat");
       const std::string_view line : Split(text, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    if (words.empty()) continue;
    const size_t colon = words[0].find(':');
    if (words.size() < 2 || colon == std::string_view::npos) continue;
    base::WireWriter entry;
    entry.Varint(1, ParseNumber(words[0].substr(0, colon), 0));
    entry.Varint(2, ParseNumber(words[0].substr(colon + 1), 0));
    int field = 3;
    for (const std::string_view key : {"rbytes=", "wbytes=", "rios=", "wios="}) {
      for (const std::string_view word : words) {
        if (word.starts_with(key)) entry.Varint(field, ParseNumber(word.substr(key.size()), 0));
      }
      ++field;
    }
    io.Message(1, entry.Take());
  }
  AppendPressure(2, directory + "/io.pressure", io);
  return io.Take();
}

void AppendHugePages(const std::string& directory, base::WireWriter& metrics) {
  for (const std::string& size : HugePageSizes()) {
    const std::string stem = directory + "/hugetlb." + size;
    const absl::StatusOr<KeyValues> events = ReadKeyValues(stem + ".events");
    base::WireWriter entry;
    entry.Varint(1, ReadNumber(stem + ".current", UINT64_MAX));
    entry.Varint(2, ReadNumber(stem + ".max", UINT64_MAX)).Bytes(3, size);
    entry.Varint(4, events.ok() ? ValueOf(*events, "max") : 0);
    metrics.Message(7, entry.Take());
  }
}

void AppendMemoryEvents(const std::string& directory, base::WireWriter& metrics) {
  const absl::StatusOr<KeyValues> values = ReadKeyValues(directory + "/memory.events");
  if (!values.ok() || values->empty()) return;
  base::WireWriter events;
  int field = 1;
  for (const char* key : {"low", "high", "max", "oom", "oom_kill", "oom_group_kill"}) {
    events.Varint(field++, ValueOf(*values, key));
  }
  metrics.Message(8, events.Take());
}

}  // namespace

absl::StatusOr<std::string> EncodeV2(const Cgroup& cgroup) {
  const std::string directory = cgroup.DirectoryOf("");
  base::WireWriter metrics;
  metrics.Message(1, base::WireWriter()
                         .Varint(1, ReadNumber(directory + "/pids.current", UINT64_MAX))
                         .Varint(2, ReadNumber(directory + "/pids.max", UINT64_MAX))
                         .Take());
  ASSIGN_OR_RETURN(const std::string cpu, Cpu(directory));
  metrics.Message(2, cpu);
  ASSIGN_OR_RETURN(const std::string memory, Memory(directory));
  metrics.Message(4, memory).Message(5, EncodeRdma(directory)).Message(6, Io(directory));
  AppendHugePages(directory, metrics);
  AppendMemoryEvents(directory, metrics);
  return metrics.Take();
}

}  // namespace ctrd::runtime::cgroups
