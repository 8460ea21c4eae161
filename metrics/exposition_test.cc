// SPDX-License-Identifier: Apache-2.0
#include "metrics/exposition.h"

#include <limits>

#include "gtest/gtest.h"

namespace ctrd::metrics {
namespace {

TEST(Exposition, SortsFamiliesSamplesAndLabels) {
  Exposition exposition;
  exposition.AddGauge("b", "Second.", -2);
  exposition.AddCounter("a_total", "First.", 7, {{"z", "1"}, {"c", "2"}});
  exposition.AddCounter("a_total", "First.", 8, {{"c", "1"}, {"z", "9"}});
  EXPECT_EQ(TextOf(exposition.Families()),
            "# HELP a_total First.\n"
            "# TYPE a_total counter\n"
            "a_total{c=\"1\",z=\"9\"} 8\n"
            "a_total{c=\"2\",z=\"1\"} 7\n"
            "# HELP b Second.\n"
            "# TYPE b gauge\n"
            "b -2\n");
}

TEST(Exposition, EscapesWhatWouldEndALabel) {
  Exposition exposition;
  exposition.AddGauge("a", "Back\\slash \"quoted\"\nand a second line.", 1, {{"l", "\"\\\n"}});
  EXPECT_EQ(TextOf(exposition.Families()),
            "# HELP a Back\\\\slash \"quoted\"\\nand a second line.\n"
            "# TYPE a gauge\n"
            "a{l=\"\\\"\\\\\\n\"} 1\n");
}

TEST(Exposition, WritesNumbersThatReadBackTheSame) {
  Exposition exposition;
  const auto add = [&](const char* name, double value) {
    exposition.Add(base::MetricKind::kGauge, name, "", {}, value);
  };
  add("a", 9223372036854771712.0);
  add("b", 0.1);
  add("c", 123456789012345.0);
  add("d", std::numeric_limits<double>::infinity());
  add("e", 18446744073709551615.0);
  const std::string text = TextOf(exposition.Families());
  EXPECT_NE(text.find("\na 9.223372036854772e+18\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nb 0.1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nc 123456789012345\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nd +Inf\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\ne 1.8446744073709552e+19\n"), std::string::npos) << text;
}

TEST(Exposition, WritesTimersAsCumulativeHistograms) {
  base::Timer timer;
  timer.Observe(absl::Milliseconds(20));
  timer.Observe(absl::Milliseconds(500));
  timer.Observe(absl::Seconds(60));
  Exposition exposition;
  exposition.AddTimer("t_seconds", "Took.", {{"m", "x"}}, timer.snapshot());
  EXPECT_EQ(TextOf(exposition.Families()),
            "# HELP t_seconds Took.\n"
            "# TYPE t_seconds histogram\n"
            "t_seconds_count{m=\"x\"} 3\n"
            "t_seconds_sum{m=\"x\"} 60.52\n"
            "t_seconds_bucket{m=\"x\",le=\"0.005\"} 0\n"
            "t_seconds_bucket{m=\"x\",le=\"0.01\"} 0\n"
            "t_seconds_bucket{m=\"x\",le=\"0.025\"} 1\n"
            "t_seconds_bucket{m=\"x\",le=\"0.05\"} 1\n"
            "t_seconds_bucket{m=\"x\",le=\"0.1\"} 1\n"
            "t_seconds_bucket{m=\"x\",le=\"0.25\"} 1\n"
            "t_seconds_bucket{m=\"x\",le=\"0.5\"} 2\n"
            "t_seconds_bucket{m=\"x\",le=\"1\"} 2\n"
            "t_seconds_bucket{m=\"x\",le=\"2.5\"} 2\n"
            "t_seconds_bucket{m=\"x\",le=\"5\"} 2\n"
            "t_seconds_bucket{m=\"x\",le=\"10\"} 2\n"
            "t_seconds_bucket{m=\"x\",le=\"+Inf\"} 3\n");
}

}  // namespace
}  // namespace ctrd::metrics
