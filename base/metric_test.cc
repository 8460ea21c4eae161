// SPDX-License-Identifier: Apache-2.0
#include "base/metric.h"

#include <numeric>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

TEST(Timer, PutsEachDurationIntoTheFirstBucketThatHoldsIt) {
  Timer timer;
  timer.Observe(absl::Milliseconds(5));  // A bound belongs to its bucket.
  timer.Observe(absl::Microseconds(5001));
  timer.Observe(absl::Seconds(10));
  timer.Observe(absl::Minutes(1));
  const Timer::Snapshot snapshot = timer.snapshot();
  EXPECT_EQ(snapshot.buckets.front(), 1);
  EXPECT_EQ(snapshot.buckets[1], 1);
  EXPECT_EQ(snapshot.buckets[10], 1);
  EXPECT_EQ(snapshot.buckets.back(), 1);
  EXPECT_DOUBLE_EQ(snapshot.sum_seconds, 70.010001);
}

TEST(Timer, CountsAClockThatWasSetBackAsNothing) {
  Timer timer;
  timer.Observe(absl::Seconds(-3));
  EXPECT_EQ(timer.snapshot().buckets.front(), 1);
  EXPECT_EQ(timer.snapshot().sum_seconds, 0);
}

TEST(Instruments, LoseNothingBetweenThreads) {
  Counter counter;
  Gauge gauge;
  Timer timer;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        counter.Add();
        gauge.Add(n % 2 == 0 ? 2 : -1);
        timer.Observe(absl::Milliseconds(1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 4000);
  EXPECT_EQ(gauge.value(), 2000);
  const auto buckets = timer.snapshot().buckets;
  EXPECT_EQ(std::accumulate(buckets.begin(), buckets.end(), uint64_t{0}), 4000);
}

}  // namespace
}  // namespace ctrd::base
