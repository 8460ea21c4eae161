// SPDX-License-Identifier: Apache-2.0
#include "runtime/cgroups/attach_lead.h"

#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "gtest/gtest.h"
#include "runtime/cgroups/cgroup_file.h"

namespace ctrd::runtime::cgroups {
namespace {

bool AwaitMoves(const AttachLead& lead, int64_t count) {
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  while (lead.moves() < count) {
    if (absl::Now() > limit) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST(AttachLeadTest, MovesAgainAndAgainAndLeavesTheProcessWhereItIs) {
  const std::string before = ReadText("/proc/self/cgroup");
  AttachLead lead;
  EXPECT_EQ(lead.moves(), 0);
  lead.Take(absl::Seconds(60));
  EXPECT_TRUE(AwaitMoves(lead, 3));
  EXPECT_EQ(ReadText("/proc/self/cgroup"), before);
}

TEST(AttachLeadTest, EndsAfterItsTimeAndBeginsAgain) {
  AttachLead lead;
  lead.Take(absl::Nanoseconds(1));
  lead.Take(absl::Milliseconds(1));
  ASSERT_TRUE(AwaitMoves(lead, 1));
  const int64_t moves = lead.moves();
  EXPECT_LE(moves, 2);
  lead.Take(absl::Seconds(60));
  EXPECT_TRUE(AwaitMoves(lead, moves + 2));
}

}  // namespace
}  // namespace ctrd::runtime::cgroups
