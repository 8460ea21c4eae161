// SPDX-License-Identifier: Apache-2.0

// Creations that fail, at every step there is, and what is left of them: nothing.
#include "runtime/cgroups/cgroup.h"
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

class ShimCreateTest : public ShimTest {
 protected:
  // Nothing of the container is there, and its name is free.
  void ExpectNothingLeft(const std::string& id) {
    EXPECT_FALSE(base::Exists(Bundle(id) + "/rootfs/bin")) << "mount";
    EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/" + id)) << "state of the runtime";
    EXPECT_THAT(cgroups::Cgroup::AtPath(Group() + "/" + id), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_EQ(base::ListDirectory(directory_ + "/tmp").value(), std::vector<std::string>{});
    EXPECT_THAT(State(id), StatusIs(absl::StatusCode::kNotFound));
    runtime_.clear();
    ASSERT_THAT(Create(id), IsOk());
    ASSERT_THAT(Start(id), IsOk());
    ASSERT_THAT(Kill(id, SIGKILL), IsOk());
    ASSERT_THAT(Wait(id), IsOk());
    Finish(id);
  }
  // A cgroup of this host's kind, as the runtime makes it.
  std::string CgroupDirectory(const std::string& id) const {
    return fmt::format("{}{}{}/{}", cgroups::kMountPoint, cgroups::HostIsUnified() ? "" : "/memory",
                       Group(), id);
  }
};

TEST_F(ShimCreateTest, TheRuntimeIsMissing) {
  MakeBundle("sc-none", "sleep 1000");
  StartShim("sc-none");
  runtime_ = "/nowhere/runc";
  EXPECT_THAT(Create("sc-none"),
              StatusIs(absl::StatusCode::kUnknown,
                       "OCI runtime create failed: unable to retrieve OCI runtime error (open " +
                           Bundle("sc-none") +
                           "/log.json: no such file or directory): fork/exec /nowhere/runc: no "
                           "such file or directory"));
  ExpectNothingLeft("sc-none");
}

TEST_F(ShimCreateTest, TheRuntimeDiesAfterItMadeTheContainer) {
  MakeBundle("sc-late", "sleep 1000");
  WrapRuntime(R"(case "$*" in *" create "*) runc "$@"; kill -9 $$;; esac)");
  StartShim("sc-late");
  EXPECT_THAT(Create("sc-late"),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("did not terminate successfully")));
  ExpectNothingLeft("sc-late");
}

TEST_F(ShimCreateTest, TheRuntimeDiesHalfway) {
  // A directory of state with nothing in it, a cgroup, and a process that is not ready yet.
  MakeBundle("sc-half", "sleep 1000");
  const std::string group = CgroupDirectory("sc-half");
  WrapRuntime(fmt::format(R"(case "$*" in *" create "*)
    mkdir -p {0} {1}/runc/shimtest/sc-half
    sleep 1000 & echo $! > {0}/cgroup.procs; echo $! > {1}/orphan
    kill -9 $$;; esac)",
                          group, directory_));
  StartShim("sc-half");
  EXPECT_THAT(Create("sc-half"), StatusIs(absl::StatusCode::kUnknown));
  ASSERT_OK_AND_ASSIGN(std::string orphan, base::ReadFile(directory_ + "/orphan"));
  EXPECT_TRUE(Ends(static_cast<uint32_t>(std::stoul(orphan))));
  ExpectNothingLeft("sc-half");
}

TEST_F(ShimCreateTest, DeleteRemovesTheCgroupOfARuntimeThatDiedWithItsShim) {
  MakeBundle("sc-both", "sleep 1000");
  const std::string group = CgroupDirectory("sc-both");
  WrapRuntime(
      fmt::format(R"(case "$*" in *" create "*) mkdir -p {}; kill -9 $PPID $$;; esac)", group));
  StartShim("sc-both");
  EXPECT_THAT(Create("sc-both"), StatusIs(absl::StatusCode::kUnknown, HasSubstr("ttrpc: closed")));
  EXPECT_TRUE(base::Exists(group));
  ASSERT_THAT(RunShim({"delete"}, "sc-both", ""), IsOk());
  EXPECT_FALSE(base::Exists(group));
}

TEST_F(ShimCreateTest, ACgroupThatOthersLiveInStays) {
  MakeBundle("sc-others", "sleep 1000");
  const std::string group = CgroupDirectory("sc-others");
  ASSERT_THAT(base::MakeDirectories(group, 0755), IsOk());
  base::SpawnOptions options{.argv = {kBusybox, "sleep", "1000"}};
  ASSERT_OK_AND_ASSIGN(const base::Child other, base::Spawn(options));
  ASSERT_THAT(base::WriteAll(base::Open(group + "/cgroup.procs", O_WRONLY)->get(),
                             std::to_string(other.pid), group),
              IsOk());
  StartShim("sc-others");
  runtime_ = "/bin/false";
  EXPECT_THAT(Create("sc-others"), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_TRUE(base::Exists(group));
  EXPECT_EQ(::kill(other.pid, 0), 0);
  ASSERT_EQ(::kill(other.pid, SIGKILL), 0);
  ASSERT_THAT(base::WaitFor(other, Soon()), IsOk());
  ASSERT_EQ(::rmdir(group.c_str()), 0);
  ExpectNothingLeft("sc-others");
}

TEST_F(ShimCreateTest, ThePidIsNotTold) {
  MakeBundle("sc-pid", "sleep 1000");
  WrapRuntime(fmt::format(
      R"(case "$*" in *" create "*) runc "$@"; echo garbage > {}/init.pid; exit 0;; esac)",
      Bundle("sc-pid")));
  StartShim("sc-pid");
  EXPECT_THAT(Create("sc-pid"), StatusIs(absl::StatusCode::kUnknown, HasSubstr("garbage")));
  ExpectNothingLeft("sc-pid");
}

TEST_F(ShimCreateTest, AMountFailsAfterOthers) {
  MakeBundle("sc-mount", "sleep 1000");
  StartShim("sc-mount");
  task::CreateTaskRequest request = CreateRequest("sc-mount");
  auto* second = request.add_rootfs();
  second->set_type("bind");
  second->set_source("/nowhere");
  second->set_target("tmp");
  second->add_options("rbind");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown,
                       AllOf(testing::StartsWith("failed to mount rootfs component: mount source: "
                                                 "\"/nowhere\", target: \""),
                             HasSubstr("fstype: bind, flags: "), HasSubstr("err: "))));
  ExpectNothingLeft("sc-mount");
}

TEST_F(ShimCreateTest, MountOptionsThatOthersShouldHaveActedOnAreErrors) {
  MakeBundle("sc-option", "sleep 1000");
  StartShim("sc-option");
  task::CreateTaskRequest request = CreateRequest("sc-option");
  request.mutable_rootfs(0)->add_options("X-containerd.something=1");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown));
  ExpectNothingLeft("sc-option");
}

TEST_F(ShimCreateTest, APipeIsMissing) {
  MakeBundle("sc-pipe", "sleep 1000");
  StartShim("sc-pipe");
  task::CreateTaskRequest request = CreateRequest("sc-pipe");
  const std::string missing = directory_ + "/missing";
  request.set_stdout(missing);
  request.set_stderr(missing);
  EXPECT_THAT(
      Call<task::CreateTaskResponse>("Create", request),
      StatusIs(absl::StatusCode::kUnknown,
               fmt::format("failed to create init process I/O: failed to start io pipe copy: "
                           "unable to copy pipes: containerd-shim: opening file \"{0}\" failed: "
                           "open {0}: no such file or directory",
                           missing)));
  ExpectNothingLeft("sc-pipe");
}

TEST_F(ShimCreateTest, TheTerminalDoesNotCome) {
  if (!base::FindExecutable("python3").ok()) GTEST_SKIP() << "needs python3";
  MakeBundle("sc-tty", "true", /*terminal=*/true);
  // Somebody else is first at the console socket, and says nothing.
  WrapRuntime(R"sh(case "$*" in *" create "*)
    socket=$(echo "$*" | sed 's/.*--console-socket \([^ ]*\).*/\1/')
    python3 -c "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])" $socket;;
    esac)sh");
  StartShim("sc-tty");
  task::CreateTaskRequest request = CreateRequest("sc-tty");
  request.set_terminal(true);
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown,
                       HasSubstr("failed to retrieve console master: console socket: 0 ")));
  MakeBundle("sc-tty", "sleep 1000");
  ExpectNothingLeft("sc-tty");
}

TEST_F(ShimCreateTest, TheLoggerIsMissing) {
  MakeBundle("sc-logger", "sleep 1000");
  StartShim("sc-logger");
  task::CreateTaskRequest request = CreateRequest("sc-logger");
  request.set_stdout("binary:///nowhere/logger");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("no such file or directory")));
  ExpectNothingLeft("sc-logger");
}

TEST_F(ShimCreateTest, NamesThatWouldLeadOutOfTheBundleAreRefused) {
  MakeBundle("sc-name", "sleep 1000");
  StartShim("sc-name");
  task::CreateTaskRequest request = CreateRequest("sc-name");
  request.set_id("../../x");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Create("sc-name"), IsOk());
  ASSERT_THAT(Start("sc-name"), IsOk());
  EXPECT_THAT(Exec("sc-name", "../x", "true"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("invalid exec id ../x: ")));
  // An exec named like the first process is not in its way.
  ASSERT_THAT(Exec("sc-name", "init", "true"), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string pid, base::ReadFile(Bundle("sc-name") + "/init.pid"));
  ASSERT_THAT(Start("sc-name", "init"), IsOk());
  ASSERT_THAT(Wait("sc-name", "init"), IsOk());
  ASSERT_THAT(Delete("sc-name", "init"), IsOk());
  EXPECT_EQ(base::ReadFile(Bundle("sc-name") + "/init.pid").value(), pid);
}

TEST_F(ShimCreateTest, AnExecWhoseRuntimeDiesLeavesNoProcess) {
  MakeBundle("sc-exec", "sleep 1000");
  WrapRuntime(fmt::format(R"(case "$*" in *" exec "*)
    runc "$@"; cp {}/e1.pid {}/orphan; kill -9 $$;; esac)",
                          Bundle("sc-exec"), directory_));
  StartShim("sc-exec");
  ASSERT_THAT(Create("sc-exec"), IsOk());
  ASSERT_THAT(Start("sc-exec"), IsOk());
  ASSERT_THAT(Exec("sc-exec", "e1", "sleep 1000"), IsOk());
  EXPECT_THAT(Start("sc-exec", "e1"), StatusIs(absl::StatusCode::kUnknown));
  ASSERT_OK_AND_ASSIGN(const std::string orphan, base::ReadFile(directory_ + "/orphan"));
  EXPECT_TRUE(Ends(static_cast<uint32_t>(std::stoul(orphan))));
  EXPECT_FALSE(base::Exists(Bundle("sc-exec") + "/e1.pid"));
  EXPECT_THAT(Delete("sc-exec", "e1"), IsOk());
}

}  // namespace
}  // namespace ctrd::runtime::shim
