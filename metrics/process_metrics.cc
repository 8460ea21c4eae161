// SPDX-License-Identifier: Apache-2.0
#include "metrics/process_metrics.h"

#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace ctrd::metrics {
namespace {

using base::MetricKind;

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t start = text.find_first_not_of(" \t\n");
    if (start == text.npos) return words;
    const size_t end = text.find_first_of(" \t\n", start);
    words.push_back(text.substr(start, end - start));
    if (end == text.npos) return words;
    text.remove_prefix(end);
  }
}

double Number(std::string_view text) {
  uint64_t number = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);  // Else it stays 0.
  return static_cast<double>(number);
}

// The line of `text` that starts with `prefix`, in words after it.
std::vector<std::string_view> LineAfter(std::string_view text, std::string_view prefix) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(prefix)) return Words(line.substr(prefix.size()));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  return {};
}

void Add(base::MetricSink& sink, MetricKind kind, const char* name, const char* help,
         double value) {
  sink.Add(kind, name, help, {}, value);
}

double BootTime(const std::string& proc) {
  const auto stat = base::ReadFile(proc + "/stat");
  if (!stat.ok()) return 0;
  const auto words = LineAfter(*stat, "btime ");
  return words.empty() ? 0 : Number(words[0]);
}

void ReportStat(const std::string& proc, base::MetricSink& sink) {
  const auto stat = base::ReadFile(proc + "/self/stat");
  if (!stat.ok()) return;
  // After the name, which may hold anything: field 3 of proc(5) is words[0].
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return;
  const auto words = Words(std::string_view(*stat).substr(name_end + 1));
  if (words.size() < 22) return;
  const auto field = [&](size_t number) { return Number(words[number - 3]); };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  Add(sink, MetricKind::kCounter, "process_cpu_seconds_total",
      "CPU time of the daemon, user and system.", (field(14) + field(15)) / ticks);
  Add(sink, MetricKind::kGauge, "process_threads", "Threads of the daemon.", field(20));
  Add(sink, MetricKind::kGauge, "process_start_time_seconds",
      "When the daemon started, in seconds since 1970.", BootTime(proc) + field(22) / ticks);
  Add(sink, MetricKind::kGauge, "process_virtual_memory_bytes", "Address space of the daemon.",
      field(23));
  Add(sink, MetricKind::kGauge, "process_resident_memory_bytes",
      "Memory of the daemon that is resident.", field(24) * page);
}

void ReportLimit(std::string_view limits, const char* limit, const char* name, const char* help,
                 base::MetricSink& sink) {
  const auto words = LineAfter(limits, limit);
  if (words.empty()) return;
  // As Go's programs write RLIM_INFINITY.
  Add(sink, MetricKind::kGauge, name, help,
      words[0] == "unlimited" ? 18446744073709551615.0 : Number(words[0]));
}

void ReportNetwork(const std::string& proc, base::MetricSink& sink) {
  const auto netstat = base::ReadFile(proc + "/self/net/netstat");
  if (!netstat.ok()) return;
  const auto names = LineAfter(*netstat, "IpExt: ");
  const size_t second = netstat->find("\nIpExt: ", netstat->find("IpExt: "));
  if (second == std::string::npos) return;
  const auto values = LineAfter(std::string_view(*netstat).substr(second + 1), "IpExt: ");
  for (size_t i = 0; i < names.size() && i < values.size(); ++i) {
    if (names[i] == "InOctets") {
      Add(sink, MetricKind::kCounter, "process_network_receive_bytes_total",
          "Bytes received in the daemon's network namespace.", Number(values[i]));
    } else if (names[i] == "OutOctets") {
      Add(sink, MetricKind::kCounter, "process_network_transmit_bytes_total",
          "Bytes sent in the daemon's network namespace.", Number(values[i]));
    }
  }
}

}  // namespace

void ProcessMetrics::Report(base::MetricSink& sink) const {
  ReportStat(proc_, sink);
  if (const auto fds = base::ListDirectory(proc_ + "/self/fd"); fds.ok()) {
    Add(sink, MetricKind::kGauge, "process_open_fds", "Open descriptors of the daemon.",
        static_cast<double>(fds->size()));
  }
  if (const auto limits = base::ReadFile(proc_ + "/self/limits"); limits.ok()) {
    ReportLimit(*limits, "Max open files", "process_max_fds",
                "How many descriptors the daemon may open.", sink);
    ReportLimit(*limits, "Max address space", "process_virtual_memory_max_bytes",
                "How much address space the daemon may have.", sink);
  }
  ReportNetwork(proc_, sink);
}

void BuildInfo::Report(base::MetricSink& sink) const {
  sink.AddCounter("containerd_build_info_total", "Version and revision of the daemon.", 1,
                  {{"version", version_}, {"revision", revision_}});
}

}  // namespace ctrd::metrics
