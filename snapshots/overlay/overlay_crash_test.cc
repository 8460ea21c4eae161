// SPDX-License-Identifier: Apache-2.0

// Kills a process that works with snapshots again and again, and looks at what the next one finds:
// all that was acknowledged, every snapshot with its files, and no file too many after a cleanup.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <set>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "snapshots/overlay/overlay_snapshotter.h"

namespace ctrd::snapshots {
namespace {

using base::IsOk;

constexpr int kRounds = 12;

// Prepares, commits and removes until it is killed; tells of each layer once it is committed.
[[noreturn]] void Work(const std::string& root, int round, int acknowledgements) {
  auto snapshotter = OpenOverlaySnapshotter({.root = root});
  if (!snapshotter.ok()) ::_exit(1);
  const base::Context context;
  std::string parent;
  for (int i = 0;; ++i) {
    const std::string name = fmt::format("layer-{}-{}", round, i);
    auto mounts = (*snapshotter)->Prepare(context, "edit-" + name, parent, {});
    auto scratch = (*snapshotter)->Prepare(context, "scratch-" + name, parent, {});
    if (!mounts.ok() || !scratch.ok()) ::_exit(1);
    if (!(*snapshotter)->Commit(context, name, "edit-" + name, {}, "").ok()) ::_exit(1);
    if (!(*snapshotter)->Remove(context, "scratch-" + name).ok()) ::_exit(1);
    if (!base::WriteAll(acknowledgements, name + "\n", "pipe").ok()) ::_exit(1);
    if (i % 4 == 3 && !(*snapshotter)->Cleanup(context).ok()) ::_exit(1);
    parent = name;
  }
}

// What a worker acknowledged before it was killed, some time after `wanted` layers.
std::set<std::string> WorkAndDie(const std::string& root, int round, int wanted) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  base::UniqueFd read_end(ends[0]), write_end(ends[1]);
  const pid_t worker = ::fork();
  if (worker == 0) Work(root, round, write_end.get());
  write_end.Reset();
  std::string told;
  char c = 0;
  for (int lines = 0; lines < wanted && ::read(read_end.get(), &c, 1) == 1;) {
    told += c;
    lines += c == '\n';
  }
  EXPECT_EQ(::kill(worker, SIGKILL), 0);
  EXPECT_EQ(::waitpid(worker, nullptr, 0), worker);
  told += base::ReadAll(read_end.get(), "pipe").value();
  std::set<std::string> names;
  for (size_t at = 0; at < told.size();) {
    const size_t end = told.find('\n', at);
    if (end == std::string::npos) break;
    names.insert(told.substr(at, end - at));
    at = end + 1;
  }
  EXPECT_GE(names.size(), static_cast<size_t>(wanted));
  return names;
}

void Check(const std::string& root, const std::set<std::string>& acknowledged) {
  ASSERT_OK_AND_ASSIGN(auto snapshotter,
                       OpenOverlaySnapshotter({.root = root, .upperdir_label = true}));
  const base::Context context;
  ASSERT_THAT(snapshotter->Cleanup(context), IsOk());
  std::set<std::string> names, directories;
  ASSERT_THAT(snapshotter->Walk(context, base::Filter(),
                                [&](const Info& info) {
                                  const std::string upper =
                                      info.labels.at("containerd.io/snapshot/overlay.upperdir");
                                  EXPECT_TRUE(base::Exists(upper)) << info.name;
                                  directories.insert(upper);
                                  names.insert(info.name);
                                  return absl::OkStatus();
                                }),
              IsOk());
  for (const std::string& name : acknowledged) EXPECT_TRUE(names.contains(name)) << name;
  ASSERT_OK_AND_ASSIGN(const auto entries, base::ListDirectory(root + "/snapshots"));
  EXPECT_EQ(entries.size(), names.size());
  EXPECT_EQ(directories.size(), names.size());  // No number is used twice.
}

TEST(OverlayCrashTest, AKillLosesNothingAndLeavesNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_OK_AND_ASSIGN(const std::string root,
                       base::MakeTempDirectory("/tmp", "ctrd-overlay-crash-"));
  std::mt19937 random(20);
  std::set<std::string> acknowledged;
  for (int round = 0; round < kRounds && !testing::Test::HasFailure(); ++round) {
    const int wanted = static_cast<int>(random() % 5);
    acknowledged.merge(WorkAndDie(root, round, wanted));
    Check(root, acknowledged);
  }
  EXPECT_THAT(base::RemoveTree(root), IsOk());
}

}  // namespace
}  // namespace ctrd::snapshots
