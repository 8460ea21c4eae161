// SPDX-License-Identifier: Apache-2.0

// Each step of Create and Delete fails, hangs, or is the last one of a daemon: what is left, and
// what a second try gets. The shims are fakes.

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <future>

#include "runtime/supervisor/shim_process.h"
#include "runtime/supervisor/testing/fake_shim_test_base.h"

namespace ctrd::runtime {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;

using FaultTest = FakeShimTest;
CTRD_FOR_BOTH_PROTOCOLS(FaultTest);

TEST_P(FaultTest, AFailedStartOfAShimLeavesNothingAndTheIdFree) {
  struct Case {
    std::string script, error;
  };
  const Case cases[] = {
      {"echo no; exit 3", "failed to start shim: start failed: no\n: exit status 3"},
      {"kill -9 $$", "failed to start shim: start failed: : exit status 137"},
      {"true", "failed to start shim: unexpected protocol: \"\""},
      {"printf 'what is this'", "failed to start shim: "},
      {"head -c 100000 /dev/urandom", "failed to start shim: "},
      {fmt::format("printf unix://{}/nobody", dir_), "failed to start shim: connect "},
      {R"(printf '{"version":9,"address":"unix:///x","protocol":"ttrpc"}')",
       "failed to start shim: unsupported shim version (9)"},
      {R"(printf '{"version":2,"address":"/x","protocol":"grpc"}')",
       "failed to start shim: containerd client supports only v2 and v3 TTRPC task client (got 2)"},
      {R"(printf '{"version":3,"address":"hvsock:///x","protocol":"ttrpc"}')",
       "failed to start shim: bad shim address \"hvsock:///x\""},
      {fmt::format("printf hvsock://{}/nobody:1024", dir_),
       "failed to start shim: connect 'hvsock://"},
  };
  for (const Case& wrong : cases) {
    Shim("x").WriteStart(wrong.script);
    EXPECT_THAT(Create("x").message(), HasSubstr(wrong.error)) << wrong.script;
    EXPECT_THAT(Left(), testing::IsEmpty()) << wrong.script;
    EXPECT_THAT(supervisor_->State(context_, "x", ""), StatusIs(absl::StatusCode::kNotFound));
  }
  EXPECT_GE(Shim("x").deletes(), std::size(cases));
  Shim("x").WriteStart(fmt::format("printf %s '{}'", Shim("x").StartAnswer()));
  EXPECT_THAT(Create("x"), IsOk());
  EXPECT_THAT(events_.Topics(), testing::IsEmpty());
}

TEST_P(FaultTest, AStartThatHangsEndsWithItsDeadline) {
  timeouts_.shim_start = absl::Milliseconds(200);
  Restart();
  Shim("x").WriteStart("exec sleep 1000");
  EXPECT_THAT(Create("x"),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("failed to start shim")));
  EXPECT_THAT(Left(), testing::IsEmpty());
  ASSERT_OK_AND_ASSIGN(const std::string pid, base::ReadFile(Shim("x").pid_file()));
  EXPECT_NE(::kill(-std::atoi(pid.c_str()), 0), 0);  // The process group of the call.
}

TEST_P(FaultTest, AStartThatIsKilledIsNotTakenForOneThatKnowsOlderInputOnly) {
  const std::string once = dir_ + "/once", input = dir_ + "/input";
  Shim("x").WriteStart(
      fmt::format("cat > {}; [ -e {} ] || {{ touch {}; kill -9 $$; }}; printf %s '{}'", input, once,
                  once, Shim("x").StartAnswer()));
  EXPECT_THAT(Create("x"), StatusIs(absl::StatusCode::kUnknown,
                                    "failed to start shim: start failed: : exit status 137"));
  EXPECT_THAT(Create("x"), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string params, base::ReadFile(input));
  EXPECT_THAT(params, HasSubstr(dir_ + "/s"));  // The directory of sockets.
}

TEST_P(FaultTest, AMissingBinaryLeavesNothing) {
  CreateTask request = Request("x");
  request.runtime = dir_ + "/nothing";
  EXPECT_THAT(supervisor_->Create(context_, request),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("invalid custom binary path")));
  EXPECT_THAT(Left(), testing::IsEmpty());
}

TEST_P(FaultTest, IdMappedMountsNeedARuntimeThatHasThem) {
  CreateTask request = Request("x");
  request.spec.value = R"({"mounts":[{"options":["idmap"]}]})";
  EXPECT_THAT(supervisor_->Create(context_, request),
              StatusIs(absl::StatusCode::kUnknown,
                       testing::StartsWith("failed to validate OCI runtime features: idmap mounts "
                                           "not supported: ")));
  EXPECT_EQ(Shim("x").calls("Create"), 0u);
  EXPECT_EQ(Shim("x").calls("Shutdown"), 1u);
  EXPECT_THAT(Left(), testing::IsEmpty());
}

TEST_P(FaultTest, AShimWithoutVersionThreeIsAskedForVersionTwoWhereThereIsOne) {
  FakeShim& shim = Shim("x");
  if (GetParam() == std::string_view("grpc")) {
    shim.Fail("Create", absl::UnimplementedError("method Create"));
    EXPECT_THAT(Create("x"), StatusIs(absl::StatusCode::kUnimplemented));
    EXPECT_EQ(shim.calls("Create"), 1u);
    EXPECT_THAT(Left(), testing::IsEmpty());
    return;
  }
  shim.WriteStart(
      fmt::format(R"(printf '{{"version":3,"address":"{}","protocol":"ttrpc"}}')", shim.address()));
  ASSERT_THAT(Create("x"), IsOk());
  EXPECT_EQ(shim.calls("Create"), 1u);
  ASSERT_OK_AND_ASSIGN(const std::string saved, base::ReadFile(Bundle("x") + "/bootstrap.json"));
  EXPECT_THAT(saved, HasSubstr(R"("version":2)"));
  Restart();
  EXPECT_TRUE(Eventually([&] { return supervisor_->State(context_, "x", "").ok(); }));
}

TEST_P(FaultTest, AFailedCreateEndsTheShim) {
  Shim("x").Fail("Create", absl::UnknownError("no such runtime"));
  EXPECT_THAT(Create("x"),
              StatusIs(absl::StatusCode::kUnknown, "failed to create shim task: no such runtime"));
  EXPECT_EQ(Shim("x").calls("Delete"), 1u);
  EXPECT_EQ(Shim("x").calls("Shutdown"), 1u);
  EXPECT_EQ(Shim("x").deletes(), 1u);
  EXPECT_THAT(Left(), testing::IsEmpty());
}

TEST_P(FaultTest, AShimsDeleteThatIsKilledIsRunAgainUntilNobodyKillsIt) {
  Shim("x").KillDeletes(3);
  Shim("x").Fail("Create", absl::UnknownError("no such runtime"));
  EXPECT_THAT(Create("x"), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_EQ(Shim("x").deletes(), 4u);
  EXPECT_THAT(Left(), testing::IsEmpty());
}

TEST_P(FaultTest, AShimsDeleteThatIsAlwaysKilledIsGivenUp) {
  Shim("x").KillDeletes(1000);
  Shim("x").Fail("Create", absl::UnknownError("no such runtime"));
  EXPECT_THAT(Create("x"), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_EQ(Shim("x").deletes(), 10u);
}

TEST_P(FaultTest, AShimThatGoesDuringCreateLeavesNothing) {
  Shim("x").LeaveOn("Create");
  EXPECT_THAT(Create("x"),
              StatusIs(absl::StatusCode::kUnknown, "failed to create shim task: ttrpc: closed"));
  EXPECT_THAT(Left(), testing::IsEmpty());
}

TEST_P(FaultTest, ACreateWhoseCallerGivesUpIsUndone) {
  timeouts_.shim_cleanup = absl::Milliseconds(100);
  Restart();
  Shim("x").Mute("Create");
  Shim("x").Mute("Delete");
  EXPECT_THAT(
      supervisor_->Create(context_.WithTimeout(absl::Milliseconds(100)), Request("x")).status(),
      StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(supervisor_->operations(), testing::IsEmpty());
  EXPECT_THAT(Left(), testing::IsEmpty());
  Shim("x").On("Create", nullptr);
  Shim("x").Listen();
  EXPECT_THAT(Create("x"), IsOk());
}

TEST_P(FaultTest, ALeftoverThatNobodyOwnsIsNotInTheWay) {
  ASSERT_THAT(base::MakeDirectories(Bundle("x") + "/rootfs", 0711), IsOk());
  // The start of the daemon may be clearing such ones away right now.
  ASSERT_TRUE(Eventually(
      [&] { return base::MakeDirectories(dir_ + "/state/ns/.x/rootfs/deep", 0711).ok(); }));
  EXPECT_THAT(Create("x"), IsOk());
}

// ---- Joining.

TEST_P(FaultTest, IdenticalCreatesShareOneOperation) {
  Shim("x").Mute("Create");
  auto first = std::async(std::launch::async, [&] { return Create("x"); });
  ASSERT_TRUE(Shim("x").AwaitCalls("Create", 1));
  auto second = std::async(std::launch::async, [&] { return Create("x"); });
  ASSERT_TRUE(Eventually([&] { return HasOperation("Create", 2); }));
  CreateTask other = Request("x");
  other.stdio.stdout_path = "/elsewhere";
  EXPECT_THAT(supervisor_->Create(context_, other),
              StatusIs(absl::StatusCode::kAlreadyExists, "task x: already exists"));
  Shim("x").AnswerKept();
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_EQ(Shim("x").calls("Create"), 1u);
  EXPECT_THAT(Create("x"), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_P(FaultTest, WhoJoinedACreateThatWasGivenUpGetsOneOfHisOwn) {
  Shim("x").Mute("Create");
  Shim("x").On("Shutdown", [](const ttrpc::Call&, ttrpc::Responder responder) {
    responder.Reply(std::string());  // And stays: the second start finds it.
  });
  const base::Context impatient = context_.Detached();
  auto first = std::async(std::launch::async,
                          [&] { return supervisor_->Create(impatient, Request("x")).status(); });
  ASSERT_TRUE(Shim("x").AwaitCalls("Create", 1));
  auto second = std::async(std::launch::async, [&] { return Create("x"); });
  ASSERT_TRUE(Eventually([&] { return HasOperation("Create", 2); }));
  Shim("x").On("Create", nullptr);
  impatient.Cancel();
  EXPECT_THAT(first.get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_EQ(Shim("x").calls("Create"), 2u);
}

TEST_P(FaultTest, IdenticalStartsKillsAndDeletesShareOneCall) {
  ASSERT_THAT(Create("x"), IsOk());
  const std::map<std::string, std::function<absl::Status()>> calls = {
      {"Start", [&] { return supervisor_->Start(context_, "x", "").status(); }},
      {"Kill", [&] { return supervisor_->Kill(context_, "x", "", SIGTERM, false); }},
      {"Delete", [&] { return supervisor_->Delete(context_, "x").status(); }}};
  for (const char* method : {"Start", "Kill", "Delete"}) {
    Shim("x").Mute(method);
    auto first = std::async(std::launch::async, calls.at(method));
    ASSERT_TRUE(Shim("x").AwaitCalls(method, 1));
    auto second = std::async(std::launch::async, calls.at(method));
    ASSERT_TRUE(Eventually([&] { return HasOperation(method, 2); })) << method;
    Shim("x").AnswerKept();
    EXPECT_THAT(first.get(), IsOk()) << method;
    EXPECT_THAT(second.get(), IsOk()) << method;
    EXPECT_EQ(Shim("x").calls(method), 1u) << method;
  }
  EXPECT_THAT(supervisor_->Delete(context_, "x"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(FaultTest, DifferentKillsAreCallsOfTheirOwn) {
  ASSERT_THAT(Create("x"), IsOk());
  Shim("x").Mute("Kill");
  std::vector<std::future<absl::Status>> kills;
  for (const int signal : {SIGTERM, SIGKILL, SIGRTMIN + 1, SIGRTMIN + 1}) {
    kills.push_back(std::async(std::launch::async, [this, signal] {
      return supervisor_->Kill(context_, "x", "", static_cast<uint32_t>(signal), false);
    }));
  }
  EXPECT_TRUE(Shim("x").AwaitCalls("Kill", 4));
  Shim("x").AnswerKept();
  for (auto& kill : kills) EXPECT_THAT(kill.get(), IsOk());
}

// Threads of this process. gRPC's own, which bear its names, come and go as it likes.
size_t Threads() {
  const auto name = [](const std::string& thread) {
    return base::ReadFile("/proc/self/task/" + thread + "/comm").value_or("");
  };
  const auto threads = base::ListDirectory("/proc/self/task").value();
  const std::string ours = name(std::to_string(::getpid()));
  return static_cast<size_t>(std::count_if(threads.begin(), threads.end(),
                                           [&](const auto& t) { return name(t) == ours; }));
}

TEST_P(FaultTest, FiveThousandWaitsAreOneCallToTheShim) {
  constexpr size_t kWaits = 5000;
  ASSERT_THAT(Create("x"), IsOk());
  std::atomic<size_t> ended = 0;
  std::vector<std::unique_ptr<TaskRuntime::PendingWait>> waits;
  const auto threads = Threads();
  for (size_t i = 0; i < kWaits; ++i) {
    waits.push_back(supervisor_->Wait(context_, "x", "", [&](absl::StatusOr<Exit> exit) {
      if (exit.ok()) ++ended;
    }));
  }
  ASSERT_TRUE(Shim("x").AwaitCalls("Wait", 1));
  EXPECT_LE(Threads(), threads);
  waits.resize(kWaits / 2);  // Half of them give up.
  Shim("x").AnswerKept();
  EXPECT_TRUE(Eventually([&] { return ended == kWaits / 2; }));
  EXPECT_EQ(Shim("x").calls("Wait"), 1u);
}

// ---- Delete is finished whatever happens.

TEST_P(FaultTest, ADeleteOutlivesItsCaller) {
  ASSERT_THAT(Create("x"), IsOk());
  Shim("x").Mute("Delete");
  EXPECT_THAT(supervisor_->Delete(context_.WithTimeout(absl::Milliseconds(50)), "x"),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  const auto operations = supervisor_->operations();
  ASSERT_EQ(operations.size(), 1u);
  EXPECT_EQ(operations[0].name, (OperationName{"Delete", "ns", "x", ""}));
  EXPECT_EQ(operations[0].stage, "answer of the shim");
  EXPECT_EQ(operations[0].callers, 0u);
  Shim("x").AnswerKept();
  EXPECT_TRUE(Eventually([&] { return supervisor_->operations().empty(); }));
  EXPECT_THAT(Left(), testing::IsEmpty());
}

TEST_P(FaultTest, ACallerThatComesBackJoinsItsDelete) {
  ASSERT_THAT(Create("x"), IsOk());
  Shim("x").On("Delete", [](const ttrpc::Call&, ttrpc::Responder) {});
  Shim("x").Mute("Delete");
  EXPECT_THAT(supervisor_->Delete(context_.WithTimeout(absl::Milliseconds(50)), "x"),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  auto again = std::async(std::launch::async, [&] { return supervisor_->Delete(context_, "x"); });
  ASSERT_TRUE(Eventually([&] { return HasOperation("Delete", 1); }));
  Shim("x").AnswerKept();
  EXPECT_THAT(again.get(), IsOk());
  EXPECT_EQ(Shim("x").calls("Delete"), 1u);
  EXPECT_THAT(Left(), testing::IsEmpty());
}

TEST_P(FaultTest, ADeleteThatFailsCanBeTriedAgain) {
  ASSERT_THAT(Create("x"), IsOk());
  Shim("x").Fail("Delete", absl::UnknownError("cannot delete a running process"));
  EXPECT_THAT(supervisor_->Delete(context_, "x"),
              StatusIs(absl::StatusCode::kUnknown,
                       "failed to delete task: cannot delete a running process"));
  EXPECT_THAT(supervisor_->State(context_, "x", ""), IsOk());
  // The shim deleted it before, and the answer was lost.
  Shim("x").Fail("Delete", absl::NotFoundError("container not created: not found"));
  EXPECT_THAT(supervisor_->Delete(context_, "x"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Left(), testing::IsEmpty());
  EXPECT_EQ(Shim("x").deletes(), 1u);
}

// ---- The daemon dies between two steps.

TEST_P(FaultTest, WhatADeadDaemonLeftIsCleared) {
  supervisor_.reset();
  const auto write = [&](const std::string& id, const char* name, const std::string& text) {
    EXPECT_THAT(base::MakeDirectories(Bundle(id) + "/rootfs", 0711), IsOk());
    EXPECT_THAT(base::MakeDirectories(dir_ + "/root/ns/" + id, 0711), IsOk());
    if (name != nullptr) {
      EXPECT_THAT(base::WriteFileAtomically(Bundle(id) + "/" + name, text, 0600), IsOk());
    }
  };
  // In the order in which Create makes them, and Delete removes them.
  write("empty", nullptr, "");
  write("spec", "config.json", "{}");
  write("intent", "shim-binary-path", Shim("intent").binary());
  write("torn", "shim-binary-path", Shim("torn").binary());
  write("torn", "bootstrap.json", "{\"version\":");
  write("dead", "shim-binary-path", Shim("dead").binary());
  write("dead", "bootstrap.json", fmt::format("unix://{}/nobody", dir_));
  write("unborn", "shim-binary-path", Shim("unborn").binary());
  write("unborn", "bootstrap.json", Shim("unborn").StartAnswer());
  Shim("unborn").Fail("State", absl::NotFoundError("container not created: not found"));
  Shim("unborn").Fail("Delete", absl::NotFoundError("container not created: not found"));
  write(".gone", "config.json", "{}");
  ASSERT_THAT(base::MakeDirectories(dir_ + "/root/ns/work-only", 0711), IsOk());

  Restart();
  ASSERT_TRUE(supervisor_->WaitAdopted(absl::Now() + absl::Seconds(20)));
  EXPECT_TRUE(Eventually([&] { return Left().empty(); })) << testing::PrintToString(Left());
  EXPECT_EQ(Shim("intent").deletes(), 1u);
  EXPECT_EQ(Shim("dead").deletes(), 1u);
  EXPECT_EQ(Shim("unborn").calls("Shutdown"), 1u);
  for (const char* id : {"empty", "intent", "dead"}) EXPECT_THAT(Create(id), IsOk());
}

// ---- Shims that do not leave.

class Listener {
 public:
  explicit Listener(const std::string& path) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    auto listener = ttrpc::ListenUnix(path);
    (void)listener;
    while (true) ::pause();
  }
  ~Listener() {
    (void)::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

TEST_P(FaultTest, AShimIsKilledByItsSocket) {
  ASSERT_THAT(base::MakeDirectories(dir_ + "/s", 0700), IsOk());
  const std::string address = "unix://" + dir_ + "/s/stays";
  const Listener stays(dir_ + "/s/stays");
  ASSERT_TRUE(Eventually([&] { return FindListeners(address).size() == 1; }));
  EXPECT_EQ(FindListeners(address)[0].pid, stays.pid());
  RemoveDeadSocket(address, dir_ + "/s");
  EXPECT_TRUE(base::Exists(dir_ + "/s/stays"));  // Somebody listens.
  EXPECT_TRUE(KillListeners(address, absl::Now() + absl::Seconds(20)));
  EXPECT_FALSE(KillListeners(address, absl::Now()));
  RemoveDeadSocket(address, dir_);  // Not in that directory.
  EXPECT_TRUE(base::Exists(dir_ + "/s/stays"));
  RemoveDeadSocket(address, dir_ + "/s");
  EXPECT_FALSE(base::Exists(dir_ + "/s/stays"));
  EXPECT_THAT(FindListeners(Shim("x").address()), testing::IsEmpty());  // That is us.
}

}  // namespace
}  // namespace ctrd::runtime
