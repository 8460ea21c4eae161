// SPDX-License-Identifier: Apache-2.0

// What snapshots/snapshotter.h promises, as tests. A driver instantiates SnapshotterSuite with a
// way to open itself in a directory:
//
//   INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterSuite, testing::Values(SnapshotterDriver{…}),
//                            [](const auto& instance) { return instance.param.name; });
//
// The tests of what a snapshot's mounts show need root and work in a mount namespace of their own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "snapshots/snapshotter.h"

namespace ctrd::snapshots {

struct SnapshotterDriver {
  std::string name;
  // `directory` exists and is empty the first time; opening it again finds what was saved there.
  std::function<absl::StatusOr<std::unique_ptr<Snapshotter>>(const std::string& directory)> open;
  bool keeps_files = true;    // Its mounts can be mounted.
  bool is_persistent = true;  // What it holds is there when it is opened again.
  bool rebases = true;        // A rebased snapshot shows its new parent's files.
};

class SnapshotterSuite : public testing::TestWithParam<SnapshotterDriver> {
 protected:
  void SetUp() override;
  void TearDown() override;

  void Reopen();
  // Prepares `key` over `parent`, runs `edit` with the directory that shows it, commits as `name`.
  void CommitTree(const std::string& name, const std::string& parent,
                  const std::function<void(const std::string& directory)>& edit);
  // Runs `look` with a directory that shows `mounts`.
  void Mounted(const base::Mounts& mounts,
               const std::function<void(const std::string& directory)>& look);
  void Commit(const std::string& name, const std::string& parent = "");
  std::vector<std::string> Keys(const std::string& filter = "");

  std::string directory_;
  std::unique_ptr<Snapshotter> snapshotter_;
  const base::Context context_{"suite"};
};

}  // namespace ctrd::snapshots
