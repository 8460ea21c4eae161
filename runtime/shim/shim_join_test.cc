// SPDX-License-Identifier: Apache-2.0

// Calls that are made twice, or given up, while the runtime takes its time. The runtime stops at a
// gate before the verb of interest, and the test opens it.
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

class ShimJoinTest : public ShimTest {
 protected:
  void GateBefore(const std::string& verb) {
    for (const char* name : {"/reached", "/gate"}) {
      ASSERT_EQ(::mkfifo((directory_ + name).c_str(), 0600), 0);
    }
    WrapRuntime(fmt::format(
        R"(case "$*" in *" {0} "*) echo x >> {1}/calls; echo > {1}/reached; cat {1}/gate;; esac)",
        verb, directory_));
  }
  void AwaitGate() {  // The opening of the pipe waits for its other end.
    EXPECT_THAT(base::ReadFile(directory_ + "/reached"), IsOk());
  }
  void OpenGate() {
    const base::UniqueFd gate(::open((directory_ + "/gate").c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_TRUE(gate.valid());
  }
  // All that was sent before has been read when this returns: calls are taken in order.
  void AwaitArrival() {
    EXPECT_THAT(Call<task::ConnectResponse>("Connect", task::ConnectRequest()), IsOk());
  }
  int Calls() const {
    return static_cast<int>(base::ReadFile(directory_ + "/calls").value_or("").size() / 2);
  }
};

TEST_F(ShimJoinTest, ACreateMadeAgainJoinsTheFirst) {
  MakeBundle("sj-create", "sleep 1000");
  GateBefore("create");
  StartShim("sj-create");
  const task::CreateTaskRequest request = CreateRequest("sj-create");
  auto first = Begin("Create", request);
  auto second = Begin("Create", request);
  task::CreateTaskRequest different = request;
  different.set_stdin("/x");
  EXPECT_THAT(Call<task::CreateTaskResponse>("Create", different),
              StatusIs(absl::StatusCode::kAlreadyExists, "task sj-create: already exists"));
  AwaitGate();
  OpenGate();
  ASSERT_OK_AND_ASSIGN(const std::string one, first.get());
  ASSERT_OK_AND_ASSIGN(const std::string two, second.get());
  EXPECT_EQ(one, two);
  EXPECT_EQ(Calls(), 1);
  EXPECT_THAT(Create("sj-create"), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(ShimJoinTest, AStartMadeAgainJoinsTheFirst) {
  MakeBundle("sj-start", "sleep 1000");
  GateBefore("start");
  StartShim("sj-start");
  ASSERT_THAT(Create("sj-start"), IsOk());
  task::StartRequest request;
  request.set_id("sj-start");
  auto first = Begin("Start", request);
  auto second = Begin("Start", request);
  AwaitArrival();
  AwaitGate();
  OpenGate();
  ASSERT_OK_AND_ASSIGN(const std::string one, first.get());
  ASSERT_OK_AND_ASSIGN(const std::string two, second.get());
  EXPECT_EQ(one, two);
  EXPECT_EQ(Calls(), 1);
}

TEST_F(ShimJoinTest, ADeleteMadeAgainJoinsTheFirst) {
  MakeBundle("sj-delete", "exit 6");
  GateBefore("delete");
  StartShim("sj-delete");
  ASSERT_THAT(Create("sj-delete"), IsOk());
  ASSERT_THAT(Start("sj-delete"), IsOk());
  ASSERT_THAT(Wait("sj-delete"), IsOk());
  task::DeleteRequest request;
  request.set_id("sj-delete");
  auto first = Begin("Delete", request);
  auto second = Begin("Delete", request);
  AwaitArrival();
  AwaitGate();
  OpenGate();
  ASSERT_OK_AND_ASSIGN(const std::string one, first.get());
  ASSERT_OK_AND_ASSIGN(const std::string two, second.get());
  EXPECT_EQ(one, two);
  EXPECT_EQ(Calls(), 1);
  ExpectToLeave("sj-delete");
}

TEST_F(ShimJoinTest, AKillMadeAgainJoinsTheFirst) {
  MakeBundle("sj-kill", "sleep 1000");
  GateBefore("kill");
  StartShim("sj-kill");
  ASSERT_THAT(Create("sj-kill"), IsOk());
  ASSERT_THAT(Start("sj-kill"), IsOk());
  task::KillRequest request;
  request.set_id("sj-kill");
  request.set_signal(SIGKILL);
  auto first = Begin("Kill", request);
  auto second = Begin("Kill", request);
  AwaitArrival();
  AwaitGate();
  OpenGate();
  // One of its own would find the process gone.
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_EQ(Calls(), 1);
  EXPECT_THAT(Wait("sj-kill"), IsOk());
}

TEST_F(ShimJoinTest, ADeleteThatFailedCanBeMadeAgain) {
  MakeBundle("sj-again", "exit 8");
  WrapRuntime(fmt::format(
      R"(case "$*" in *" delete "*) test -e {0}/fine || {{ touch {0}/fine; exit 1; }};; esac)",
      directory_));
  StartShim("sj-again");
  ASSERT_THAT(Create("sj-again"), IsOk());
  ASSERT_THAT(Start("sj-again"), IsOk());
  ASSERT_THAT(Wait("sj-again"), IsOk());
  EXPECT_THAT(Delete("sj-again"),
              StatusIs(absl::StatusCode::kUnknown, testing::StartsWith("failed to delete task: ")));
  ASSERT_OK_AND_ASSIGN(const auto state, State("sj-again"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::STOPPED);
  ASSERT_OK_AND_ASSIGN(const auto deleted, Delete("sj-again"));
  EXPECT_EQ(deleted.exit_status(), 8u);
}

TEST_F(ShimJoinTest, DeleteEndsACreateThatNobodyWantsAnyMore) {
  MakeBundle("sj-give-up", "sleep 1000");
  GateBefore("create");
  StartShim("sj-give-up");
  auto created = Begin("Create", CreateRequest("sj-give-up"));
  AwaitGate();
  // What a daemon sends whose client went away.
  EXPECT_THAT(Delete("sj-give-up"),
              StatusIs(absl::StatusCode::kNotFound, "container not created: not found"));
  EXPECT_THAT(created.get(), StatusIs(absl::StatusCode::kCancelled, "context canceled"));
  EXPECT_FALSE(base::Exists(Bundle("sj-give-up") + "/rootfs/bin"));
  ExpectToLeave("sj-give-up");
}

TEST_F(ShimJoinTest, DeleteEndsACreateThatWaitsForAReader) {
  MakeBundle("sj-reader", "sleep 1000");
  StartShim("sj-reader");
  task::CreateTaskRequest request = CreateRequest("sj-reader");
  const std::string pipe = directory_ + "/unread";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  request.set_stdout(pipe);
  auto created = Begin("Create", request);
  EXPECT_THAT(Delete("sj-reader"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(created.get(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ShimJoinTest, AShimAskedToLeaveDuringACreateLeavesIfNothingComesOfIt) {
  MakeBundle("sj-leave", "sleep 1000");
  GateBefore("create");
  StartShim("sj-leave");
  auto created = Begin("Create", CreateRequest("sj-leave"));
  AwaitGate();
  std::promise<void> closed;
  client_->OnClose([&] { closed.set_value(); });
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
  EXPECT_THAT(Delete("sj-leave"), testing::Not(IsOk()));
  EXPECT_EQ(closed.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

TEST_F(ShimJoinTest, ExecWaitsEndWithTheContainer) {
  RunContainer("sj-waits", "sleep 1000");
  ASSERT_THAT(Exec("sj-waits", "never", "true"), IsOk());
  task::WaitRequest request;
  request.set_id("sj-waits");
  request.set_exec_id("never");
  auto waiting = Begin("Wait", request);
  AwaitArrival();
  ASSERT_THAT(Kill("sj-waits", SIGKILL), IsOk());
  ASSERT_THAT(Wait("sj-waits"), IsOk());
  ASSERT_THAT(Delete("sj-waits"), IsOk());
  EXPECT_TRUE(ttrpc::IsClosedError(waiting.get().status()));
}

TEST_F(ShimJoinTest, TheExitIsKeptUntilTheBundleGoes) {
  RunContainer("sj-record", "exit 5");
  ASSERT_THAT(Wait("sj-record"), IsOk());
  ASSERT_THAT(Delete("sj-record"), IsOk());
  // The answer to Delete may have been lost with the daemon.
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"delete"}, "sj-record", ""));
  task::DeleteResponse response;
  ASSERT_TRUE(response.ParseFromString(answer));
  EXPECT_EQ(response.exit_status(), 5u);
  // A new container of that name begins without it.
  MakeBundle("sj-record", "sleep 1000");
  StartShim("sj-record");
  ASSERT_THAT(Create("sj-record"), IsOk());
  EXPECT_FALSE(ReadExitRecord(Bundle("sj-record"), "").has_value());
}

}  // namespace
}  // namespace ctrd::runtime::shim
