// SPDX-License-Identifier: Apache-2.0
#include "metrics/cgroup_metrics.h"

#include <string>

#include "base/wire.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "metrics/exposition.h"

namespace ctrd::metrics {
namespace {

using base::WireWriter;
using testing::HasSubstr;
using testing::Not;

std::string TextOfStatistics(const std::string& type, const std::string& value) {
  Exposition exposition;
  ReportCgroup({.type_url = type, .value = value},
               {{"container_id", "c"}, {"namespace", "n"}, {"runtime", "r"}}, exposition);
  return TextOf(exposition.Families());
}
std::string V1(const std::string& value) {
  return TextOfStatistics("io.containerd.cgroups.v1.Metrics", value);
}
std::string V2(const std::string& value) {
  return TextOfStatistics("io.containerd.cgroups.v2.Metrics", value);
}

constexpr char kLabels[] = R"({container_id="c",namespace="n",runtime="r"})";

TEST(CgroupMetrics, TellsTheControllersOfVersion1) {
  const std::string cpu =
      WireWriter()
          .Message(1, WireWriter().Varint(1, 300).Varint(2, 100).Packed(4, {0, 300, 1}).Take())
          .Message(2, WireWriter().Varint(3, 7).Take())
          .Take();
  const std::string memory = WireWriter()
                                 .Varint(1, 4096)
                                 .Varint(9, 55)
                                 .Varint(17, 9223372036854771712u)
                                 .Varint(26, 66)
                                 .Message(33, WireWriter().Varint(2, 77).Take())
                                 .Take();
  const std::string text = V1(WireWriter()
                                  .Message(2, WireWriter().Varint(1, 3).Take())
                                  .Message(3, cpu)
                                  .Message(4, memory)
                                  .Take());
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"container_pids_current", "3"},
           {"container_pids_limit", "0"},
           {"container_cpu_total_nanoseconds", "300"},
           {"container_cpu_kernel_nanoseconds", "100"},
           {"container_cpu_user_nanoseconds", "0"},
           {"container_cpu_throttled_time_nanoseconds", "7"},
           {"container_memory_cache_bytes", "4096"},
           {"container_memory_pgfault_bytes", "55"},
           {"container_memory_total_pgfault_bytes", "66"},
           {"container_memory_hierarchical_memsw_limit_bytes", "9.223372036854772e+18"},
           {"container_memory_usage_usage_bytes", "77"},
           {"container_memory_usage_failcnt_total", "0"}}) {
    EXPECT_THAT(text, HasSubstr("\n" + name + kLabels + " " + value + "\n"));
  }
  EXPECT_THAT(text, HasSubstr("container_per_cpu_nanoseconds{container_id=\"c\",cpu=\"1\","
                              "namespace=\"n\",runtime=\"r\"} 300\n"));
  EXPECT_THAT(text, HasSubstr("cpu=\"2\",namespace=\"n\",runtime=\"r\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("container_memory_swap_")));  // Not accounted on this host.
}

TEST(CgroupMetrics, TellsDevicesAndPagesOfVersion1) {
  const std::string entry =
      WireWriter().Bytes(1, "Read").Bytes(2, "/dev/sda").Varint(3, 8).Varint(5, 512).Take();
  const std::string text =
      V1(WireWriter()
             .Message(1, WireWriter().Varint(1, 5).Bytes(4, "2MB").Take())
             .Message(5, WireWriter().Message(1, entry).Message(5, entry).Take())
             .Take());
  EXPECT_THAT(text, HasSubstr("container_hugetlb_usage_bytes{container_id=\"c\",namespace=\"n\","
                              "page=\"2MB\",runtime=\"r\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("container_blkio_io_service_bytes_recursive_bytes{container_id=\"c\","
                              "device=\"/dev/sda\",major=\"8\",minor=\"0\",namespace=\"n\","
                              "op=\"Read\",runtime=\"r\"} 512\n"));
  EXPECT_THAT(text, Not(HasSubstr("wait_time")));
}

TEST(CgroupMetrics, TellsTheControllersOfVersion2) {
  const std::string io =
      WireWriter().Message(1, WireWriter().Varint(1, 8).Varint(2, 16).Varint(3, 99).Take()).Take();
  const std::string text =
      V2(WireWriter()
             .Message(1, WireWriter().Varint(1, 2).Varint(2, UINT64_MAX).Take())
             .Message(2, WireWriter().Varint(1, 11).Varint(6, 12).Take())
             .Message(4, WireWriter().Varint(18, 13).Varint(32, 14).Varint(33, UINT64_MAX).Take())
             .Message(6, io)
             .Message(8, WireWriter().Varint(4, 15).Varint(5, 16).Take())
             .Take());
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"container_pids_current", "2"},
           {"container_pids_limit", "1.8446744073709552e+19"},
           {"container_cpu_usage_usec_microseconds", "11"},
           {"container_cpu_throttled_usec_microseconds", "12"},
           {"container_memory_pgfault_bytes", "13"},
           {"container_memory_usage_bytes", "14"},
           {"container_memory_usage_limit_bytes", "1.8446744073709552e+19"},
           {"container_memory_swap_limit_bytes", "0"},
           {"container_memory_oom_total", "15"}}) {
    EXPECT_THAT(text, HasSubstr("\n" + name + kLabels + " " + value + "\n"));
  }
  EXPECT_THAT(text, HasSubstr("container_io_rbytes_bytes{container_id=\"c\",major=\"8\","
                              "minor=\"16\",namespace=\"n\",runtime=\"r\"} 99\n"));
}

TEST(CgroupMetrics, SaysNothingOfWhatItDoesNotKnow) {
  EXPECT_EQ(TextOfStatistics("io.example.vm.Metrics", WireWriter().Varint(1, 1).Take()), "");
  EXPECT_EQ(TextOfStatistics("", ""), "");
  EXPECT_EQ(V1("\xff\xff\xff"), "");
}

}  // namespace
}  // namespace ctrd::metrics
