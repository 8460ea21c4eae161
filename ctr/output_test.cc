// SPDX-License-Identifier: Apache-2.0
#include "ctr/output.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "events/task.pb.h"

namespace ctrd::ctr {
namespace {

TEST(OutputTest, Sizes) {
  EXPECT_EQ(BinarySize(0), "0.0 B");
  EXPECT_EQ(BinarySize(1 << 20), "1.0 MiB");
  EXPECT_EQ(DecimalSize(349), "349B");
  EXPECT_EQ(DecimalSize(1084123), "1.084MB");
  EXPECT_EQ(DecimalSize(1000), "1kB");
}

TEST(OutputTest, Ages) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(10)), "Less than a second");
  EXPECT_EQ(HumanDuration(absl::Seconds(1)), "1 second");
  EXPECT_EQ(HumanDuration(absl::Seconds(59)), "59 seconds");
  EXPECT_EQ(HumanDuration(absl::Seconds(90)), "About a minute");
  EXPECT_EQ(HumanDuration(absl::Minutes(47)), "47 minutes");
  EXPECT_EQ(HumanDuration(absl::Minutes(61)), "About an hour");
  EXPECT_EQ(HumanDuration(absl::Hours(47)), "47 hours");
  EXPECT_EQ(HumanDuration(absl::Hours(72)), "3 days");
}

TEST(OutputTest, TimesAsGoPrintsThem) {
  google::protobuf::Timestamp time;
  time.set_seconds(1795322491);
  time.set_nanos(520000000);
  EXPECT_EQ(GoTime(time), "2026-11-22 04:41:31.52 +0000 UTC");
  time.set_nanos(0);
  EXPECT_EQ(GoTime(time), "2026-11-22 04:41:31 +0000 UTC");
}

TEST(OutputTest, MessagesShowWhatIsSetInTheOrderOfTheirFields) {
  containerd::events::TaskExit event;
  event.set_container_id("c<1>");
  event.set_exit_status(7);
  event.mutable_exited_at()->set_seconds(1795322491);
  EXPECT_EQ(
      base::DumpJson(ToJson(event)),
      R"({"container_id":"c\u003c1\u003e","exit_status":7,"exited_at":"2026-11-22T04:41:31Z"})");
}

TEST(OutputTest, LabelsAreSorted) {
  EXPECT_EQ(JoinLabels(std::map<std::string, std::string>{{"b", "2"}, {"a", "1"}}), "a=1,b=2");
  EXPECT_EQ(JoinLabels(std::map<std::string, std::string>{}), "-");
}

}  // namespace
}  // namespace ctrd::ctr
