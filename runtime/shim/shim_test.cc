// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/syscall.h>

#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

TEST_F(ShimTest, RunsAContainerFromCreateToDelete) {
  MakeBundle("st-run", "echo out; echo err >&2; exit 7");
  StartShim("st-run");
  const auto out = ReadPipe("out"), err = ReadPipe("err");
  task::CreateTaskRequest request = CreateRequest("st-run");
  request.set_stdout(out->path);
  request.set_stderr(err->path);
  ASSERT_OK_AND_ASSIGN(const auto created, Call<task::CreateTaskResponse>("Create", request));
  ASSERT_OK_AND_ASSIGN(auto state, State("st-run"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::CREATED);
  EXPECT_EQ(state.pid(), created.pid());
  EXPECT_EQ(state.stdout(), out->path);
  EXPECT_EQ(state.exited_at().seconds(), kZeroSeconds);
  ASSERT_OK_AND_ASSIGN(const auto started, Start("st-run"));
  EXPECT_EQ(started.pid(), created.pid());
  ASSERT_OK_AND_ASSIGN(const auto waited, Wait("st-run"));
  EXPECT_EQ(waited.exit_status(), 7u);
  EXPECT_EQ(out->Join(), "out\n");
  EXPECT_EQ(err->Join(), "err\n");
  const auto record = ReadExitRecord(Bundle("st-run"), "");
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->status, 7u);
  ASSERT_OK_AND_ASSIGN(state, State("st-run"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::STOPPED);
  EXPECT_EQ(state.exit_status(), 7u);
  EXPECT_THAT(Kill("st-run", 9),
              StatusIs(absl::StatusCode::kNotFound, "process already finished: not found"));
  ASSERT_OK_AND_ASSIGN(const auto deleted, Delete("st-run"));
  EXPECT_EQ(deleted.exit_status(), 7u);
  EXPECT_EQ(deleted.exited_at().seconds(), waited.exited_at().seconds());
  EXPECT_EQ(deleted.exited_at().nanos(), waited.exited_at().nanos());
  EXPECT_THAT(State("st-run"),
              StatusIs(absl::StatusCode::kNotFound, "container not created: not found"));
  EXPECT_EQ(
      events_->Until("/tasks/delete"),
      (std::vector<std::string>{"/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"}));
}

TEST_F(ShimTest, LeavesNothingBehind) {
  RunContainer("st-leave", "exit 0");
  EXPECT_THAT(Wait("st-leave"), IsOk());
  Finish("st-leave");
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-leave"));
  EXPECT_FALSE(base::Exists(Bundle("st-leave") + "/rootfs/bin"));
}

TEST_F(ShimTest, ServesVersion2Too) {
  RunContainer("st-v2", "sleep 1000");
  task::StateRequest request;
  request.set_id("st-v2");
  ASSERT_OK_AND_ASSIGN(const auto state,
                       Call<task::StateResponse>("State", request, "containerd.task.v2.Task"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::RUNNING);
}

TEST_F(ShimTest, WrongStatesHaveTheTextsClientsKnow) {
  MakeBundle("st-state", "sleep 1000");
  StartShim("st-state");
  ASSERT_THAT(Create("st-state"), IsOk());
  EXPECT_THAT(Create("st-state"), StatusIs(absl::StatusCode::kAlreadyExists));
  const auto pause = [&] { return On<Nothing, task::PauseRequest>("Pause", "st-state"); };
  const auto resume = [&] { return On<Nothing, task::ResumeRequest>("Resume", "st-state"); };
  const auto unknown = absl::StatusCode::kUnknown;
  EXPECT_THAT(pause(), StatusIs(unknown, "cannot pause task in created state"));
  ASSERT_THAT(Start("st-state"), IsOk());
  EXPECT_THAT(Start("st-state"), StatusIs(unknown, "cannot start a running process"));
  EXPECT_THAT(Delete("st-state"), StatusIs(unknown, "cannot delete a running process"));
  EXPECT_THAT(resume(), StatusIs(unknown, "cannot resume a running process"));
  ASSERT_THAT(pause(), IsOk());
  EXPECT_THAT(pause(), StatusIs(unknown, "cannot pause a paused container"));
  EXPECT_THAT(Delete("st-state"), StatusIs(unknown, "cannot delete a paused process"));
  EXPECT_THAT(Exec("st-state", "e", "true"), StatusIs(unknown, "cannot exec in a paused state"));
  ASSERT_THAT(resume(), IsOk());
  EXPECT_THAT(Kill("st-state", 9, "nobody"),
              StatusIs(absl::StatusCode::kNotFound, "process does not exist nobody: not found"));
  EXPECT_THAT((On<Nothing, task::UpdateTaskRequest>("Update", "st-state")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Kill("st-state", SIGKILL), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-state"));
  EXPECT_EQ(exit.exit_status(), 137u);
  EXPECT_THAT(Exec("st-state", "e", "true"), StatusIs(unknown, "cannot exec in a stopped state"));
  Finish("st-state");
}

TEST_F(ShimTest, DeletesWhatWasNeverStarted) {
  MakeBundle("st-created", "sleep 1000");
  StartShim("st-created");
  ASSERT_THAT(Create("st-created"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto deleted, Delete("st-created"));
  EXPECT_EQ(deleted.exit_status(), 0u);
  EXPECT_EQ(deleted.exited_at().seconds(), kZeroSeconds);
  EXPECT_EQ(events_->Until("/tasks/exit"),
            (std::vector<std::string>{"/tasks/create", "/tasks/delete", "/tasks/exit"}));
}

TEST_F(ShimTest, MissingProgramFailsCreateAndLeavesNoMount) {
  MakeBundle("st-missing", "x");
  std::string spec = base::ReadFile(Bundle("st-missing") + "/config.json").value();
  spec.replace(spec.find("/bin/sh"), 7, "/bin/no");
  ASSERT_THAT(base::WriteFileAtomically(Bundle("st-missing") + "/config.json", spec, 0600), IsOk());
  StartShim("st-missing");
  EXPECT_THAT(Create("st-missing"),
              StatusIs(absl::StatusCode::kUnknown, AllOf(HasSubstr("OCI runtime create failed: "),
                                                         HasSubstr("no such file or directory"))));
  EXPECT_FALSE(base::Exists(Bundle("st-missing") + "/rootfs/bin"));
  EXPECT_THAT(State("st-missing"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ShimTest, ExecsComeAndGo) {
  RunContainer("st-exec", "sleep 1000");
  const auto out = ReadPipe("out");
  ASSERT_THAT(Exec("st-exec", "e1", "echo hello; exit 3", out->path), IsOk());
  EXPECT_THAT(Exec("st-exec", "e1", "true"),
              StatusIs(absl::StatusCode::kAlreadyExists, "id e1: already exists"));
  EXPECT_THAT(Kill("st-exec", 9, "e1"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 "process not created: failed precondition"));
  ASSERT_THAT(Start("st-exec", "e1"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-exec", "e1"));
  EXPECT_EQ(exit.exit_status(), 3u);
  EXPECT_THAT(Start("st-exec", "e1"),
              StatusIs(absl::StatusCode::kUnknown, "cannot start a stopped process"));
  EXPECT_TRUE(ReadExitRecord(Bundle("st-exec"), "e1").has_value());
  ASSERT_OK_AND_ASSIGN(const auto deleted, Delete("st-exec", "e1"));
  EXPECT_EQ(deleted.exit_status(), 3u);
  EXPECT_EQ(out->Join(), "hello\n");
  EXPECT_THAT(State("st-exec", "e1"),
              StatusIs(absl::StatusCode::kNotFound, "process does not exist e1: not found"));

  // One that fails to start stays to be deleted, and nobody waits for it in vain.
  ASSERT_THAT(Exec("st-exec", "e2", "true"), IsOk());
  task::ExecProcessRequest missing;
  missing.set_id("st-exec");
  missing.set_exec_id("e3");
  missing.mutable_spec()->set_value(R"({"args":["/bin/no"],"cwd":"/"})");
  ASSERT_THAT(Call<Nothing>("Exec", missing), IsOk());
  EXPECT_THAT(Start("st-exec", "e3"),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("OCI runtime exec failed: ")));
  ASSERT_OK_AND_ASSIGN(const auto nothing, Wait("st-exec", "e3"));
  EXPECT_EQ(nothing.exited_at().seconds(), kZeroSeconds);
  EXPECT_THAT(Delete("st-exec", "e3"), IsOk());
  const std::vector<std::string> topics = events_->Until("/tasks/exit");
  EXPECT_EQ(std::vector<std::string>(topics.begin(), topics.begin() + 5),
            (std::vector<std::string>{"/tasks/create", "/tasks/start", "/tasks/exec-added",
                                      "/tasks/exec-started", "/tasks/exit"}));
}

TEST_F(ShimTest, ExecsEndBeforeTheContainerDoes) {
  RunContainer("st-last", "sleep 1000");
  ASSERT_THAT(Exec("st-last", "e1", "sleep 1000"), IsOk());
  ASSERT_THAT(Start("st-last", "e1"), IsOk());
  ASSERT_THAT(Kill("st-last", SIGKILL), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto init, Wait("st-last"));
  EXPECT_EQ(init.exit_status(), 137u);
  ASSERT_OK_AND_ASSIGN(const auto exec, State("st-last", "e1"));
  EXPECT_EQ(exec.status(), ::containerd::v1::types::STOPPED);
  EXPECT_EQ(exec.exit_status(), 137u);
  EXPECT_THAT(Start("st-last", "e1"), testing::Not(IsOk()));
}

TEST_F(ShimTest, ExecsEndWithTheContainerInAPidNamespaceThatIsShared) {
  MakeBundle("st-shared", "sleep 1000");
  std::string spec = base::ReadFile(Bundle("st-shared") + "/config.json").value();
  const std::string pid_namespace = R"({"type":"pid"},)";
  spec.erase(spec.find(pid_namespace), pid_namespace.size());
  ASSERT_THAT(base::WriteFileAtomically(Bundle("st-shared") + "/config.json", spec, 0600), IsOk());
  StartShim("st-shared");
  ASSERT_THAT(Create("st-shared"), IsOk());
  ASSERT_THAT(Start("st-shared"), IsOk());
  ASSERT_THAT(Exec("st-shared", "e1", "sleep 1000"), IsOk());
  ASSERT_THAT(Start("st-shared", "e1"), IsOk());
  ASSERT_THAT(Kill("st-shared", SIGKILL), IsOk());
  EXPECT_THAT(Wait("st-shared"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exec, State("st-shared", "e1"));
  EXPECT_EQ(exec.exit_status(), 137u);
  EXPECT_THAT(Delete("st-shared"), IsOk());
}

TEST_F(ShimTest, UnknownSchemesAndForeignOptionsAreErrors) {
  MakeBundle("st-bad", "true");
  StartShim("st-bad");
  task::CreateTaskRequest request = CreateRequest("st-bad");
  request.set_stdout("gopher://x");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kUnknown,
                       "failed to create init process I/O: unknown STDIO scheme gopher"));
  request = CreateRequest("st-bad");
  request.mutable_options()->set_type_url("runtimeoptions.v1.Options");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Create("st-bad"), IsOk());  // Nothing of the failures stands in the way.
}

TEST_F(ShimTest, ProcessesAndStatisticsAreTold) {
  RunContainer("st-stats", "sleep 1000");
  ASSERT_THAT(Exec("st-stats", "e1", "sleep 1000"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto started, Start("st-stats", "e1"));
  ASSERT_OK_AND_ASSIGN(const auto pids,
                       (On<task::PidsResponse, task::PidsRequest>("Pids", "st-stats")));
  ASSERT_GE(pids.processes_size(), 2);
  for (const auto& process : pids.processes()) {
    EXPECT_EQ(process.info().type_url(),
              process.pid() == started.pid() ? "containerd.runc.v1.ProcessDetails" : "");
  }
  ASSERT_OK_AND_ASSIGN(const auto stats,
                       (On<task::StatsResponse, task::StatsRequest>("Stats", "st-stats")));
  EXPECT_THAT(stats.stats().type_url(),
              testing::MatchesRegex("io.containerd.cgroups.v[12].Metrics"));
  EXPECT_GT(stats.stats().value().size(), 20u);
}

TEST_F(ShimTest, DeleteAnswersFromTheRecordAfterTheShimWasKilled) {
  RunContainer("st-killed", "exit 9");
  ASSERT_THAT(Wait("st-killed"), IsOk());
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-killed"]), SIGKILL), 0);
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "st-killed", ""));
  task::DeleteResponse response;
  ASSERT_TRUE(response.ParseFromString(answer));
  EXPECT_EQ(response.exit_status(), 9u);
  EXPECT_FALSE(base::Exists(Bundle("st-killed") + "/rootfs/bin"));
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-killed"));
  // A new shim is not kept away by the dead one's socket.
  StartShim("st-killed");
}

TEST_F(ShimTest, DeleteEndsAContainerThatLostItsShim) {
  RunContainer("st-lost", "sleep 1000");
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-lost"]), SIGKILL), 0);
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "st-lost", ""));
  task::DeleteResponse response;
  ASSERT_TRUE(response.ParseFromString(answer));
  EXPECT_EQ(response.exit_status(), 137u);
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-lost"));
}

// For a runtime wrapper: what it does when it is asked to delete by force.
std::string AtForcedDelete(const std::string& script) {
  return fmt::format("for word; do if [ \"$word\" = --force ]; then {}; fi; done", script);
}

TEST_F(ShimTest, DeleteIsTriedAgainIfTheRuntimeFails) {
  const std::string failed = directory_ + "/failed";
  WrapRuntime(AtForcedDelete(fmt::format("if [ ! -e {0} ]; then touch {0}; exit 1; fi", failed)));
  RunContainer("st-again", "sleep 1000");
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-again"]), SIGKILL), 0);
  ASSERT_THAT(RunShim({"delete"}, "st-again", ""), IsOk());
  EXPECT_TRUE(base::Exists(failed));
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-again"));
}

TEST_F(ShimTest, DeleteRemovesWhatARuntimeThatAlwaysFailsKeepsOfADeadContainer) {
  WrapRuntime(AtForcedDelete("exit 1"));
  RunContainer("st-broken", "exit 3");
  ASSERT_THAT(Wait("st-broken"), IsOk());
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-broken"]), SIGKILL), 0);
  ASSERT_THAT(RunShim({"delete"}, "st-broken", ""), IsOk());
  EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/st-broken"));
}

TEST_F(ShimTest, DeleteLeavesWhatARuntimeThatAlwaysFailsKeepsOfALivingContainer) {
  WrapRuntime(AtForcedDelete("exit 1"));
  RunContainer("st-alive", "sleep 1000");
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-alive"]), SIGKILL), 0);
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "st-alive", ""));
  EXPECT_THAT(answer, HasSubstr("failed to remove runc container"));
  EXPECT_TRUE(base::Exists(directory_ + "/runc/shimtest/st-alive/state.json"));
  WrapRuntime("");  // The clean-up of the test has a whole one.
}

TEST_F(ShimTest, DeleteRemovesTheSocketOfAShimThatWasKilled) {
  RunContainer("st-file", "sleep 1000");
  EXPECT_EQ(base::ListDirectory(directory_ + "/s")->size(), 1u);
  const base::UniqueFd shim(static_cast<int>(::syscall(SYS_pidfd_open, shim_pids_["st-file"], 0)));
  ASSERT_EQ(::kill(static_cast<pid_t>(shim_pids_["st-file"]), SIGKILL), 0);
  pollfd ended = {.fd = shim.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&ended, 1, 30'000), 1);
  ASSERT_THAT(RunShim({"delete"}, "st-file", ""), IsOk());
  EXPECT_EQ(base::ListDirectory(directory_ + "/s")->size(), 0u);
}

TEST_F(ShimTest, AGroupSharesOneShim) {
  const std::string group = R"({"io.containerd.runc.v2.group":"pod"})";
  MakeBundle("st-a", "sleep 1000", false, group);
  MakeBundle("st-b", "exit 4", false, group);
  StartShim("st-a");
  ASSERT_THAT(Create("st-a"), IsOk());
  StartShim("st-b");
  EXPECT_EQ(shim_pids_["st-a"], shim_pids_["st-b"]);
  ASSERT_THAT(Create("st-b"), IsOk());
  ASSERT_THAT(Start("st-b"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("st-b"));
  EXPECT_EQ(exit.exit_status(), 4u);
  ASSERT_THAT(Delete("st-b"), IsOk());
  task::ShutdownRequest shutdown;
  EXPECT_THAT(Call<Nothing>("Shutdown", shutdown), IsOk());
  ASSERT_THAT(RunShim({"delete"}, "st-b", ""), IsOk());
  EXPECT_EQ(base::ListDirectory(directory_ + "/s")->size(), 1u);
  EXPECT_THAT(State("st-a"), IsOk());  // It still serves the other one.
  ASSERT_THAT(Delete("st-a"), IsOk());
}

TEST_F(ShimTest, OlderDaemonsGetTheAnswerTheyRead) {
  MakeBundle("st-old", "true");
  const std::string any =
      base::WireWriter().Bytes(1, Options().type_url).Bytes(2, Options().value).Take();
  ASSERT_OK_AND_ASSIGN(const std::string json, RunShim({"start"}, "st-old", any));
  EXPECT_THAT(
      json,
      testing::MatchesRegex(
          R"(\{"version":2,"address":"unix:///run/containerd/s/[0-9a-f]+","protocol":"ttrpc"\})"));
  ASSERT_OK_AND_ASSIGN(const std::string plain, RunShim({"start"}, "st-old", any, false));
  EXPECT_THAT(json, HasSubstr(plain));
  EXPECT_EQ(base::ReadFile(Bundle("st-old") + "/address").value(), plain);
  ASSERT_OK_AND_ASSIGN(client_, ttrpc::Client::Connect(thread_->loop(), plain, Soon()));
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(ShimTest, AShimAtRestIsSmall) {
  RunContainer("st-small", "sleep 1000");
  const auto resident_kb = [&] {
    const std::string path = fmt::format("/proc/{}/status", shim_pids_["st-small"]);
    const std::string text = base::ReadFile(path).value_or("VmRSS: 0");
    return std::stoi(text.substr(text.find("VmRSS:") + 6));
  };
  const absl::Time deadline = Soon();
  while (resident_kb() > 1024 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_LE(resident_kb(), 1024);
  EXPECT_GT(resident_kb(), 0);
  EXPECT_THAT(State("st-small"), IsOk());  // And it wakes up.
}
#endif

TEST_F(ShimTest, NoSocketIsAbstractOrOpenToOthers) {
  // A process in the host's network namespace must not reach a shim by name.
  RunContainer("st-socket", "sleep 1000");
  ASSERT_OK_AND_ASSIGN(const std::string sockets, base::ReadFile("/proc/net/unix"));
  EXPECT_EQ(sockets.find("@" + directory_), std::string::npos);
  struct stat info;
  ASSERT_EQ(::stat((directory_ + "/s").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(directory_ + "/s"));
  ASSERT_EQ(names.size(), 1u);
  ASSERT_EQ(::stat((directory_ + "/s/" + names[0]).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

}  // namespace
}  // namespace ctrd::runtime::shim
