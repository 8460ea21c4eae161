// SPDX-License-Identifier: Apache-2.0

// The server between its start and its end: groups, signals, its log, daemons that come and go.
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

using ShimLifeTest = ShimTest;

TEST_F(ShimLifeTest, AGroupOutlivesItsFirstContainerAndItsBundle) {
  // The server's working directory is that of the first one.
  const std::string group = R"({"io.kubernetes.cri.sandbox-id":"sandbox"})";
  MakeBundle("sl-first", "exit 0", false, group);
  MakeBundle("sl-second", "sleep 1000", false, group);
  MakeBundle("sl-third", "exit 3", false, group);
  StartShim("sl-first");
  ASSERT_THAT(Create("sl-first"), IsOk());
  ASSERT_THAT(Start("sl-first"), IsOk());
  StartShim("sl-second");
  ASSERT_THAT(Create("sl-second"), IsOk());
  ASSERT_THAT(Start("sl-second"), IsOk());
  ASSERT_THAT(Wait("sl-first"), IsOk());
  ASSERT_THAT(Delete("sl-first"), IsOk());
  ids_.erase("sl-first");
  ASSERT_THAT(base::RemoveTree(Bundle("sl-first")), IsOk());

  StartShim("sl-third");
  EXPECT_EQ(shim_pids_["sl-third"], shim_pids_["sl-first"]);
  const auto out = ReadPipe("out");
  ASSERT_THAT(Create("sl-third"), IsOk());
  ASSERT_THAT(Start("sl-third"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("sl-third"));
  EXPECT_EQ(exit.exit_status(), 3u);
  ASSERT_THAT(Exec("sl-second", "e1", "echo here", out->path), IsOk());
  ASSERT_THAT(Start("sl-second", "e1"), IsOk());
  EXPECT_EQ(out->Join(), "here\n");
  ASSERT_THAT(Delete("sl-third"), IsOk());
  ASSERT_THAT(Kill("sl-second", SIGKILL), IsOk());
  ASSERT_THAT(Wait("sl-second"), IsOk());
  Finish("sl-second");
}

TEST_F(ShimLifeTest, ContainersOutliveAServerThatIsAskedToEnd) {
  MakeBundle("sl-term", "sleep 1000");
  StartShim("sl-term");
  ASSERT_OK_AND_ASSIGN(const auto created, Create("sl-term"));
  ASSERT_THAT(Start("sl-term"), IsOk());
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["sl-term"]), SIGTERM), 0);
  EXPECT_TRUE(Ends(shim_pids_["sl-term"]));
  EXPECT_EQ(base::ListDirectory(directory_ + "/s").value(), std::vector<std::string>{});
  EXPECT_EQ(::kill(static_cast<pid_t>(created.pid()), 0), 0);
  ASSERT_THAT(RunShim({"delete"}, "sl-term", ""), IsOk());
  EXPECT_TRUE(Ends(created.pid()));
}

TEST_F(ShimLifeTest, WhatAKilledServerPutIntoTheTemporaryDirectoryGoesWithItsBundle) {
  const std::string temporaries = directory_ + "/tmp";
  const auto out = ReadPipe("out");
  MakeBundle("sl-other", "sleep 1000");
  MakeBundle("sl-temp", "sleep 1000");
  WrapRuntime(R"(case "$*" in *" exec "*) kill -9 $PPID; exit 1;; esac)");
  StartShim("sl-temp");
  ASSERT_THAT(Create("sl-temp"), IsOk());
  ASSERT_THAT(Start("sl-temp"), IsOk());
  ASSERT_THAT(Exec("sl-temp", "e1", "true", out->path, /*terminal=*/true), IsOk());
  EXPECT_FALSE(Start("sl-temp", "e1").ok());
  EXPECT_TRUE(Ends(shim_pids_["sl-temp"]));
  const auto left = base::ListDirectory(temporaries).value();
  ASSERT_THAT(
      left, testing::ElementsAre(testing::StartsWith("pty"), testing::StartsWith("runc-process")));
  const std::string foreign = temporaries + "/runc-process0-0-abcdef";
  ASSERT_THAT(base::WriteFileAtomically(foreign, "", 0600), IsOk());
  ASSERT_THAT(RunShim({"delete"}, "sl-other", ""), IsOk());
  EXPECT_EQ(base::ListDirectory(temporaries).value().size(), 3u) << "another bundle's delete";
  ASSERT_THAT(RunShim({"delete"}, "sl-temp", ""), IsOk());
  EXPECT_THAT(base::ListDirectory(temporaries).value(),
              testing::ElementsAre("runc-process0-0-abcdef"));
}

TEST_F(ShimLifeTest, TheLogGoesToThePipeInTheBundleAndTellsTheStateOnDemand) {
  MakeBundle("sl-log", "sleep 1000");
  const std::string path = Bundle("sl-log") + "/log";
  ASSERT_EQ(::mkfifo(path.c_str(), 0700), 0);
  const base::UniqueFd log(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  StartShim("sl-log");
  ASSERT_THAT(Create("sl-log"), IsOk());
  ASSERT_THAT(Start("sl-log"), IsOk());
  ASSERT_THAT(Exec("sl-log", "e1", "true"), IsOk());
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["sl-log"]), SIGUSR1), 0);
  std::string text;
  while (text.find("events waiting") == std::string::npos) {
    pollfd ready{.fd = log.get(), .events = POLLIN};
    ASSERT_EQ(::poll(&ready, 1, 30'000), 1);
    char bytes[4096];
    const ssize_t count = ::read(log.get(), bytes, sizeof(bytes));
    ASSERT_GT(count, 0);
    text.append(bytes, static_cast<size_t>(count));
  }
  EXPECT_THAT(text, testing::ContainsRegex(
                        "level=info msg=\"?container\"? id=sl-log state=\"running pid [0-9]+, exec "
                        "e1 created pid 0\""));
}

TEST_F(ShimLifeTest, AStartCallHoldsNothingOpenAndTheServerHasItsOwnGroup) {
  // RunShim reads its output to the end: it would not return.
  MakeBundle("sl-start", "true");
  StartShim("sl-start");
  const auto pid = static_cast<pid_t>(shim_pids_["sl-start"]);
  EXPECT_EQ(::getpgid(pid), pid);
  for (const int number : {0, 1}) {
    char target[256];
    const ssize_t size =
        ::readlink(fmt::format("/proc/{}/fd/{}", pid, number).c_str(), target, sizeof(target));
    ASSERT_GT(size, 0);
    EXPECT_EQ(std::string(target, static_cast<size_t>(size)), "/dev/null");
  }
  // A second start call finds the first one's server.
  const uint32_t first = shim_pids_["sl-start"];
  StartShim("sl-start");
  EXPECT_EQ(shim_pids_["sl-start"], first);
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
  EXPECT_TRUE(Ends(first));
}

TEST_F(ShimLifeTest, DeleteEndsAServerThatNoDaemonKnowsOf) {
  // The daemon died between the start call and what it would have noted of it.
  MakeBundle("sl-unknown", "true");
  StartShim("sl-unknown");
  ASSERT_THAT(RunShim({"delete"}, "sl-unknown", ""), IsOk());
  EXPECT_TRUE(Ends(shim_pids_["sl-unknown"]));
  EXPECT_EQ(base::ListDirectory(directory_ + "/s").value(), std::vector<std::string>{});
}

TEST_F(ShimLifeTest, DeleteEndsAServerThatItsDaemonLost) {
  RunContainer("sl-lost", "sleep 1000");
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "sl-lost", ""));
  EXPECT_TRUE(Ends(shim_pids_["sl-lost"]));
  task::DeleteResponse response;
  ASSERT_TRUE(response.ParseFromString(answer));
  EXPECT_EQ(response.exit_status(), 137u);
  EXPECT_NE(response.pid(), UINT32_MAX);
  EXPECT_FALSE(base::Exists(Bundle("sl-lost") + "/rootfs/bin"));
}

TEST_F(ShimLifeTest, DeleteOfOneContainerLeavesItsGroupAlone) {
  const std::string group = R"({"io.containerd.runc.v2.group":"pod"})";
  MakeBundle("sl-one", "sleep 1000", false, group);
  MakeBundle("sl-two", "sleep 1000", false, group);
  StartShim("sl-one");
  ASSERT_THAT(Create("sl-one"), IsOk());
  ASSERT_THAT(Create("sl-two"), IsOk());
  ASSERT_THAT(Start("sl-one"), IsOk());
  ASSERT_THAT(Start("sl-two"), IsOk());
  ASSERT_THAT(RunShim({"delete"}, "sl-one", ""), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto state, State("sl-two"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::RUNNING);
  EXPECT_THAT(State("sl-one"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ShimLifeTest, DeleteDoesNotWaitForAServerThatIsStopped) {
  RunContainer("sl-stop", "sleep 1000");
  const auto pid = static_cast<pid_t>(shim_pids_["sl-stop"]);
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "sl-stop", ""));
  EXPECT_THAT(answer, HasSubstr("the server does not answer"));
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/sl-stop"));
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
}

TEST_F(ShimLifeTest, EventsWaitForTheDaemonAndComeInOrder) {
  events_.reset();  // The daemon goes …
  ASSERT_EQ(::unlink((directory_ + "/c.sock.ttrpc").c_str()), 0);
  RunContainer("sl-events", "exit 4");
  ASSERT_THAT(Wait("sl-events"), IsOk());
  events_ = std::make_unique<EventLog>(directory_ + "/c.sock.ttrpc");  // … and comes back,
  EXPECT_THAT(Call<task::ConnectResponse>("Connect", task::ConnectRequest()),
              IsOk());  // and calls.
  EXPECT_EQ(events_->Until("/tasks/exit"),
            (std::vector<std::string>{"/tasks/create", "/tasks/start", "/tasks/exit"}));
}

TEST_F(ShimLifeTest, TheNamespaceIsNeeded) {
  base::SpawnOptions options{.argv = {kShim, "-id", "x", "start"}};
  ASSERT_OK_AND_ASSIGN(const base::RunResult result, base::Run(options, "", Soon()));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.output, "io.containerd.runc.v2: shim namespace cannot be empty\n");
  options.argv = {kShim, "-v"};
  ASSERT_OK_AND_ASSIGN(const base::RunResult version, base::Run(options, "", Soon()));
  EXPECT_THAT(version.output, HasSubstr("Version: "));
}

}  // namespace
}  // namespace ctrd::runtime::shim
