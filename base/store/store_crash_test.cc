// SPDX-License-Identifier: Apache-2.0

// A process that updates the store is killed at a moment of its own choosing; whatever it had been
// told was durable must be there afterwards.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "base/store/store.h"
#include "base/testing/status_matchers.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ctrd::store {
namespace {

using base::IsOk;
constexpr int kWriters = 4;

struct Acknowledgement {
  int writer;
  int number;
};

// Four threads that count upwards, each update writing two entries, and report what was answered.
[[noreturn]] void CountUntilKilled(const std::string& path, int report) {
  auto store = OpenStore(path, Options{});
  if (!store.ok()) ::_exit(1);
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0;; ++i) {
        const absl::Status status = (*store)->Update([&](WriteTransaction& write) -> absl::Status {
          RETURN_IF_ERROR(write.Put(Key({std::to_string(w), "left"}), std::to_string(i)));
          return write.Put(Key({std::to_string(w), "right"}), std::to_string(i));
        });
        const Acknowledgement done{w, i};
        if (!status.ok() || ::write(report, &done, sizeof(done)) != sizeof(done)) ::_exit(1);
      }
    });
  }
  for (;;) ::pause();
}

std::vector<int> RunAndKill(const std::string& path, int acknowledgements) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  base::UniqueFd read_end(ends[0]), write_end(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) CountUntilKilled(path, write_end.get());
  write_end.Reset();
  std::vector<int> last(kWriters, -1);
  Acknowledgement seen;
  for (int i = 0; ::read(read_end.get(), &seen, sizeof(seen)) == sizeof(seen); ++i) {
    last[seen.writer] = seen.number;
    if (i == acknowledgements) ::kill(child, SIGKILL);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  return last;
}

TEST(StoreCrashTest, WhatWasAnsweredSurvivesAKill) {
  ASSERT_OK_AND_ASSIGN(const std::string directory,
                       base::MakeTempDirectory(testing::TempDir(), "crash-"));
  for (int round = 0; round < 10; ++round) {
    const std::vector<int> last = RunAndKill(directory + "/store.db", 5 + round * 13);
    ASSERT_OK_AND_ASSIGN(auto store, OpenStore(directory + "/store.db", Options{}));
    ASSERT_THAT(store->View([&](ReadTransaction& read) -> absl::Status {
      for (int w = 0; w < kWriters; ++w) {
        if (last[w] < 0) continue;
        ASSIGN_OR_RETURN(auto left, read.Get(Key({std::to_string(w), "left"})));
        ASSIGN_OR_RETURN(auto right, read.Get(Key({std::to_string(w), "right"})));
        EXPECT_EQ(left, right);
        EXPECT_GE(std::stoi(std::string(left.value_or("-1"))), last[w]);
      }
      return absl::OkStatus();
    }),
                IsOk());
  }
  EXPECT_THAT(base::RemoveTree(directory), IsOk());
}

}  // namespace
}  // namespace ctrd::store
