// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/local_mount_manager.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::mounts {
namespace {

using base::Activation;
using base::IsOk;
using base::Mount;
using base::Mounts;
using base::StatusIs;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Works in a mount namespace of its own: nothing outlives the program.
class LocalMountManagerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(root_, base::MakeTempDirectory("/tmp", "ctrd-mounts-"));
    ASSERT_EQ(::mount("tmpfs", root_.c_str(), "tmpfs", 0, ""), 0);
    for (const char* name : {"/a", "/b", "/daemon"}) {
      ASSERT_THAT(base::MakeDirectories(root_ + name, 0755), IsOk());
    }
    ASSERT_THAT(base::WriteFileAtomically(root_ + "/a/from-a", "a", 0644), IsOk());
    ASSERT_THAT(base::WriteFileAtomically(root_ + "/b/from-b", "b", 0644), IsOk());
    Open();
  }
  void TearDown() override {
    manager_.reset();
    if (root_.empty()) return;
    EXPECT_THAT(base::UnmountAll(root_), IsOk());
    EXPECT_EQ(::rmdir(root_.c_str()), 0);
  }
  void Open() {
    manager_.reset();
    ASSERT_OK_AND_ASSIGN(manager_, LocalMountManager::Open({.directory = root_ + "/state",
                                                            .daemon_root = root_ + "/daemon",
                                                            .handlers = {"erofs"}}));
  }

  Mount Bind(const std::string& name) const { return {"bind", root_ + name, "", {"rbind", "ro"}}; }
  // Two directories and an overlay of both, in words that only the manager understands.
  Mounts Templates() const {
    return {
        Bind("/a"), Bind("/b"), {"format/overlay", "overlay", "", {"lowerdir={{ overlay 0 1 }}"}}};
  }
  absl::StatusOr<Activation> Activate(const std::string& name, const Mounts& mounts,
                                      const base::ActivateOptions& options = {}) {
    return manager_->Activate(context_, name, mounts, options);
  }
  std::vector<std::string> Targets() {
    return base::ListDirectory(root_ + "/state/t").value_or(std::vector<std::string>{"missing"});
  }
  // Of our own table of mounts.
  int MountsBelow(const std::string& directory) {
    const std::string table = base::ReadFile("/proc/self/mountinfo").value_or("");
    int count = 0;
    for (size_t at = table.find(" " + directory); at != std::string::npos;
         at = table.find(" " + directory, at + 1)) {
      ++count;
    }
    return count;
  }
  int Mounted() { return MountsBelow(root_ + "/state/"); }

  std::string root_;
  std::unique_ptr<LocalMountManager> manager_;
  const base::Context context_{"ns"};
};

TEST_F(LocalMountManagerTest, PlainMountsAreTheCallersBusiness) {
  EXPECT_THAT(Activate("n", {Bind("/a")}),
              StatusIs(absl::StatusCode::kUnimplemented, "not implemented"));
  EXPECT_THAT(Activate("n", {}), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Targets(), IsEmpty());
}

TEST_F(LocalMountManagerTest, MountsWhatTemplatesNameAndLeavesTheRest) {
  ASSERT_OK_AND_ASSIGN(const Activation activation, Activate("n", Templates()));
  ASSERT_THAT(activation.active, SizeIs(2));
  EXPECT_EQ(Mounted(), 2);
  const std::string first = activation.active[0].mount_point;
  const std::string second = activation.active[1].mount_point;
  EXPECT_TRUE(base::Exists(first + "/from-a"));
  EXPECT_THAT(activation.system,
              ElementsAre(Mount{"overlay", "overlay", "", {"lowerdir=" + first + ":" + second}}));
  ASSERT_THAT(base::MakeDirectories(root_ + "/merged", 0755), IsOk());
  ASSERT_THAT(base::MountAll(activation.system, root_ + "/merged"), IsOk());
  EXPECT_TRUE(base::Exists(root_ + "/merged/from-a") && base::Exists(root_ + "/merged/from-b"));
  ASSERT_THAT(base::UnmountAll(root_ + "/merged"), IsOk());
  ASSERT_THAT(manager_->Deactivate(context_, "n"), IsOk());
  EXPECT_EQ(Mounted(), 0);
  EXPECT_THAT(Targets(), IsEmpty());
}

TEST_F(LocalMountManagerTest, ATemporaryActivationShowsTheWholeList) {
  Mounts mounts = Templates();
  ASSERT_OK_AND_ASSIGN(const Activation activation, Activate("n", mounts, {.temporary = true}));
  EXPECT_THAT(activation.active, SizeIs(3));
  ASSERT_THAT(activation.system, SizeIs(1));
  EXPECT_EQ(activation.system[0].type, "bind");
  EXPECT_THAT(activation.system[0].options, ElementsAre("rbind"));
  EXPECT_TRUE(base::Exists(activation.system[0].source + "/from-a"));
  EXPECT_TRUE(base::Exists(activation.system[0].source + "/from-b"));
  EXPECT_THAT(Activate("plain", {Bind("/a")}, {.temporary = true}), IsOk());
}

TEST_F(LocalMountManagerTest, NamesBelongToTheirNamespace) {
  const base::Context other("other");
  ASSERT_THAT(Activate("n", Templates()), IsOk());
  EXPECT_THAT(Activate("n", Templates()),
              StatusIs(absl::StatusCode::kAlreadyExists, "mount \"n\": already exists"));
  EXPECT_THAT(manager_->Info(other, "n"),
              StatusIs(absl::StatusCode::kNotFound, "mount \"n\": not found"));
  EXPECT_THAT(manager_->Activate(other, "n", Templates(), {}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto listed, manager_->List(other));
  EXPECT_THAT(listed, SizeIs(1));
  EXPECT_THAT(manager_->MountNamespaces(), ElementsAre("ns", "other"));
  EXPECT_THAT(manager_->Deactivate(base::Context(), "n"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Activate("", Templates()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(LocalMountManagerTest, TypesTheCallerMountsPassThrough) {
  const Mounts mounts = {{"mkdir/bind", root_ + "/a", "", {"rbind"}}};
  EXPECT_THAT(Activate("n", mounts, {.caller_mounts = {"mkdir/*"}}),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Activate("n", mounts, {.caller_mounts = {"mkdir/bind"}}),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Activate("n", mounts, {.caller_mounts = {"mkfs/*"}}), IsOk());
  Mounts mixed = Templates();
  mixed.push_back(mounts[0]);
  ASSERT_OK_AND_ASSIGN(const Activation activation,
                       Activate("mixed", mixed, {.caller_mounts = {"mkdir/*"}}));
  ASSERT_THAT(activation.system, SizeIs(2));
  EXPECT_EQ(activation.system[0].type, "overlay");
  EXPECT_EQ(activation.system[1], mounts[0]);
}

TEST_F(LocalMountManagerTest, AFailureAtAnyMountLeavesNothing) {
  for (size_t broken = 0; broken < 2; ++broken) {
    Mounts mounts = Templates();
    mounts[broken].source = root_ + "/missing";
    EXPECT_FALSE(Activate("n", mounts).ok());
    EXPECT_EQ(Mounted(), 0);
    EXPECT_THAT(Targets(), IsEmpty());
  }
  Mounts mounts = Templates();
  mounts[2].options = {"lowerdir={{ overlay 0 2 }}"};
  EXPECT_THAT(Activate("n", mounts),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "index out of bounds: 2, has 2 active mounts: invalid argument"));
  EXPECT_EQ(Mounted(), 0);
  EXPECT_THAT(Activate("n", Templates()), IsOk());  // The name was not kept.
}

TEST_F(LocalMountManagerTest, ActivationsOutliveTheManager) {
  const base::Context leased = context_.WithLease("l");
  ASSERT_OK_AND_ASSIGN(const Activation made, manager_->Activate(leased, "n", Templates(),
                                                                 {.labels = {{"key", "value"}}}));
  ASSERT_OK_AND_ASSIGN(const Activation before, manager_->Info(context_, "n"));
  EXPECT_EQ(before.active[1].mount.source, "");
  Open();
  ASSERT_OK_AND_ASSIGN(const Activation found, manager_->Info(context_, "n"));
  EXPECT_EQ(found.system, made.system);
  EXPECT_EQ(found.labels, made.labels);
  ASSERT_THAT(found.active, SizeIs(2));
  EXPECT_EQ(found.active[1].mount.type, "bind");
  EXPECT_EQ(found.active[1].mount.source, "");
  EXPECT_EQ(found.active[1].mount_point, made.active[1].mount_point);
  EXPECT_EQ(absl::ToUnixMicros(found.active[1].mounted_at),
            absl::ToUnixMicros(made.active[1].mounted_at));
  ASSERT_THAT(manager_->MountsOf("ns"), SizeIs(1));
  EXPECT_EQ(manager_->MountsOf("ns")[0].lease, "l");
  ASSERT_OK_AND_ASSIGN(const Activation next, Activate("next", Templates()));
  EXPECT_NE(next.active[0].mount_point, made.active[0].mount_point);
  ASSERT_THAT(manager_->Deactivate(context_, "n"), IsOk());
  EXPECT_EQ(Mounted(), 2);
}

TEST_F(LocalMountManagerTest, WhatACrashLeftIsRemovedAtTheNextStart) {
  ASSERT_THAT(Activate("kept", Templates()), IsOk());
  // Killed after the first mount: the record says so.
  ActivationRecord half{.namespace_name = "ns"};
  half.activation.name = "half";
  const std::string directory = root_ + "/state/t/77";
  ASSERT_THAT(base::MakeDirectories(directory + "/0", 0700), IsOk());
  ASSERT_THAT(base::WriteFileAtomically(directory + "/record", Encode(half), 0600), IsOk());
  ASSERT_THAT(base::MountAll({Bind("/a")}, directory + "/0"), IsOk());
  // Killed after a Deactivate forgot the name.
  ASSERT_THAT(base::MakeDirectories(root_ + "/state/t/78/0", 0700), IsOk());
  ASSERT_THAT(base::MountAll({Bind("/b")}, root_ + "/state/t/78/0"), IsOk());
  Open();
  EXPECT_EQ(Mounted(), 2);
  EXPECT_THAT(Targets(), ElementsAre("1"));
  EXPECT_TRUE(base::Exists(root_ + "/a/from-a") && base::Exists(root_ + "/b/from-b"));
  EXPECT_THAT(Activate("half", Templates()), IsOk());
}

TEST_F(LocalMountManagerTest, AfterARebootNothingIsActive) {
  ASSERT_OK_AND_ASSIGN(const Activation activation, Activate("n", Templates()));
  for (const base::ActiveMount& mount : activation.active) {
    ASSERT_THAT(base::UnmountAll(mount.mount_point), IsOk());
  }
  Open();
  EXPECT_THAT(manager_->Info(context_, "n"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Targets(), IsEmpty());
}

// The daemon may die at any instruction of Activate and Deactivate: after pauses that grow, which
// are the time of death and nothing that is waited for.
TEST_F(LocalMountManagerTest, AKilledDaemonLeavesNothingHalf) {
  manager_.reset();
  for (int microseconds = 0; microseconds < 6000; microseconds += 250) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto manager = LocalMountManager::Open(
          {.directory = root_ + "/state", .daemon_root = root_ + "/daemon", .handlers = {}});
      while (manager.ok()) {
        (void)(*manager)->Activate(context_, "n", Templates(), {});
        (void)(*manager)->Deactivate(context_, "n");
      }
      ::_exit(1);
    }
    ::usleep(static_cast<useconds_t>(microseconds));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    Open();
    const bool whole = manager_->Info(context_, "n").ok();
    EXPECT_EQ(Mounted(), whole ? 2 : 0);
    EXPECT_THAT(Targets(), SizeIs(whole ? 1 : 0));
    if (whole) {
      EXPECT_THAT(manager_->Deactivate(context_, "n"), IsOk());
    }
    manager_.reset();
  }
}

TEST_F(LocalMountManagerTest, CollectsOnlyWhatTheCollectorSaw) {
  ASSERT_THAT(Activate("n", Templates()), IsOk());
  const auto seen = manager_->MountsOf("ns");
  ASSERT_THAT(seen, SizeIs(1));
  ASSERT_THAT(manager_->Deactivate(context_, "n"), IsOk());
  ASSERT_THAT(Activate("n", Templates()), IsOk());
  manager_->CollectMount("ns", seen[0]);
  EXPECT_THAT(manager_->Info(context_, "n"), IsOk());
  manager_->CollectMount("ns", manager_->MountsOf("ns")[0]);
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(LocalMountManagerTest, WhatTheDaemonHoldsIsNotCollectedAndEndsWithIt) {
  ASSERT_THAT(Activate("n", Templates(), {.held = true}), IsOk());
  EXPECT_THAT(manager_->MountsOf("ns"), IsEmpty());
  EXPECT_THAT(manager_->Info(context_, "n"), IsOk());
  Open();
  EXPECT_THAT(manager_->Info(context_, "n"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Mounted(), 0);
}

TEST_F(LocalMountManagerTest, KnowsWhetherItIsNeeded) {
  EXPECT_FALSE(
      manager_->Needs({Bind("/a"), {"overlay", "overlay", "", {"lowerdir={{ mount 0 }}"}}}));
  EXPECT_TRUE(manager_->Needs(Templates()));
  EXPECT_TRUE(manager_->Needs({{"erofs", "/image", "", {}}}));
}

TEST_F(LocalMountManagerTest, ErofsImagesNeedNoLoopOption) {
  if (::access("/usr/bin/mkfs.erofs", X_OK) != 0 || !base::Exists("/dev/loop-control")) {
    GTEST_SKIP() << "needs mkfs.erofs and loop devices";
  }
  ASSERT_EQ(
      std::system(("mkfs.erofs " + root_ + "/a.erofs " + root_ + "/a >/dev/null 2>&1").c_str()), 0);
  const auto activation = Activate("n", {{"erofs", root_ + "/a.erofs", "", {"ro"}},
                                         {"format/bind", "{{ mount 0 }}", "", {"rbind", "ro"}}});
  if (!activation.ok() &&
      activation.status().ToString().find("No such device") != std::string::npos) {
    GTEST_SKIP() << "this kernel has no erofs";
  }
  ASSERT_THAT(activation, IsOk());
  EXPECT_TRUE(base::Exists(activation->active[0].mount_point + "/from-a"));
  EXPECT_EQ(activation->system[0].source, activation->active[0].mount_point);
}

}  // namespace
}  // namespace ctrd::mounts
