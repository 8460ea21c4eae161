// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/sandbox_supervisor.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <optional>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/testing/processes.h"
#include "base/testing/status_matchers.h"
#include "base/time.h"
#include "gtest/gtest.h"

namespace ctrd::runtime {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;

std::string FakeShim() {
  const auto build = std::filesystem::canonical("/proc/self/exe").parent_path().parent_path();
  return build / "bin/fake_sandbox_shim";
}

bool Ends(uint32_t pid) { return base::Ends(static_cast<pid_t>(pid)); }

// In its command line.
bool AnyProcessNames(const std::string& text) {
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const auto line = base::ReadFile(process.path() / "cmdline");
    if (line.ok() && line->find(text) != line->npos) return true;
  }
  return false;
}

// Over the protocol that is the parameter.
class SandboxSupervisorTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-sandbox-"));
    // It speaks what its name ends with.
    shim_ = fmt::format("{}/fake-shim-{}", dir_, GetParam());
    std::filesystem::create_symlink(FakeShim(), shim_);
    Open();
  }
  void TearDown() override {
    if (supervisor_ != nullptr) {
      for (const char* id : {"box", "other"}) (void)supervisor_->Shutdown(context_, id);
    }
    supervisor_.reset();
    EXPECT_THAT(base::RemoveTree(dir_), IsOk());
  }
  void Open() {
    supervisor_.reset();
    SandboxOptions options;
    options.root_dir = dir_ + "/root";
    options.state_dir = dir_ + "/state";
    options.shims.daemon_binary = "/nowhere/containerd";
    options.shims.grpc_address = dir_ + "/c.sock";
    options.shims.ttrpc_address = dir_ + "/c.sock.ttrpc";
    options.shims.daemon_version = "v2.3.4";
    options.shim_shutdown = shim_shutdown_;
    ASSERT_OK_AND_ASSIGN(supervisor_, SandboxSupervisor::Open(std::move(options)));
  }
  absl::Status Create(const std::string& id, std::map<std::string, std::string> annotations = {}) {
    return supervisor_->Create(context_, {.id = id,
                                          .runtime = shim_,
                                          .netns_path = "/run/netns/x",
                                          .annotations = std::move(annotations)});
  }
  std::string Bundle(const std::string& id) { return dir_ + "/state/sb/" + id; }
  std::string StateOf(const std::string& id) {
    const auto state = supervisor_->State(context_, id, false);
    return state.ok() ? state->state : std::string(state.status().message());
  }
  // The exit of the sandbox, once it comes.
  std::future<absl::StatusOr<Exit>> WaitFor(const std::string& id) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<Exit>>>();
    wait_ = supervisor_->Wait(context_, id, [promise](absl::StatusOr<Exit> exit) {
      promise->set_value(std::move(exit));
    });
    return promise->get_future();
  }
  // Until the supervisor has noticed.
  void AwaitGone(const std::string& id) {
    while (base::Exists(Bundle(id)) || supervisor_->State(context_, id, false).ok()) {
      absl::SleepFor(absl::Milliseconds(2));
    }
  }

  absl::Duration shim_shutdown_ = absl::Seconds(3);
  std::string dir_, shim_;
  const base::Context context_{"sb"};
  std::unique_ptr<SandboxSupervisor> supervisor_;
  std::unique_ptr<TaskRuntime::PendingWait> wait_;
};

INSTANTIATE_TEST_SUITE_P(Shims, SandboxSupervisorTest, testing::Values("ttrpc", "grpc"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(SandboxSupervisorTest, LeadsASandboxThroughItsLife) {
  ASSERT_THAT(Create("box"), IsOk());
  EXPECT_EQ(StateOf("box"), "SANDBOX_NOTREADY");
  ASSERT_OK_AND_ASSIGN(const StartedSandbox started, supervisor_->Start(context_, "box"));
  EXPECT_GT(started.pid, 1u);
  EXPECT_TRUE(base::Runs(static_cast<pid_t>(started.pid)));
  EXPECT_THAT(
      started.endpoint.address,
      testing::StartsWith(GetParam() == std::string_view("grpc") ? "grpc+/" : "ttrpc+unix:///"));
  EXPECT_EQ(started.endpoint.version, 3u);
  EXPECT_EQ(StateOf("box"), "SANDBOX_READY");
  ASSERT_OK_AND_ASSIGN(const SandboxState verbose, supervisor_->State(context_, "box", true));
  EXPECT_EQ(verbose.info.at("netns"), "/run/netns/x");
  EXPECT_EQ(verbose.pid, started.pid);
  ASSERT_OK_AND_ASSIGN(const SandboxPlatform platform, supervisor_->Platform(context_, "box"));
  EXPECT_EQ(platform.os + "/" + platform.architecture, "linux/amd64");
  ASSERT_OK_AND_ASSIGN(const TaskStatistics statistics, supervisor_->Statistics(context_, "box"));
  EXPECT_EQ(statistics.data.type_url, "test.Metrics");
  auto exit = WaitFor("box");
  EXPECT_THAT(supervisor_->Stop(context_, "box", 1), IsOk());
  const auto status = exit.get();
  ASSERT_THAT(status, IsOk());
  EXPECT_EQ(status->status, 42u);
  EXPECT_EQ(StateOf("box"), "SANDBOX_NOTREADY");
  EXPECT_THAT(supervisor_->Shutdown(context_, "box"), IsOk());
  EXPECT_FALSE(base::Exists(Bundle("box")));
  EXPECT_FALSE(base::Exists(dir_ + "/root/sb/box"));
  EXPECT_TRUE(Ends(started.pid));
}

TEST_P(SandboxSupervisorTest, KeepsTheDirectoriesToItself) {
  ASSERT_THAT(Create("box"), IsOk());
  for (const std::string& path : {dir_ + "/state", dir_ + "/root", Bundle("box")}) {
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mode & 07777, 0700u) << path;
  }
}

TEST_P(SandboxSupervisorTest, KnowsOneSandboxOfAnIdPerNamespace) {
  ASSERT_THAT(Create("box"), IsOk());
  EXPECT_THAT(Create("box"),
              StatusIs(absl::StatusCode::kAlreadyExists, "sandbox box: already exists"));
  EXPECT_THAT(supervisor_->Endpoint(base::Context("elsewhere"), "box"),
              StatusIs(absl::StatusCode::kNotFound, "sandbox box: not found"));
  EXPECT_THAT(Create("other"), IsOk());
}

TEST_P(SandboxSupervisorTest, LeavesNothingOfACreateThatFails) {
  EXPECT_THAT(Create("box", {{"fail", "yes"}}),
              StatusIs(absl::StatusCode::kUnknown, "failed to create sandbox box: asked to fail"));
  EXPECT_FALSE(base::Exists(Bundle("box")));
  EXPECT_THAT(supervisor_->Create(context_, {.id = "box", .runtime = "no.such.runtime"}),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("failed to start sandbox box")));
  EXPECT_FALSE(base::Exists(Bundle("box")));
  EXPECT_THAT(Create("../box"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Create("box"), IsOk());  // The name is free.
}

TEST_P(SandboxSupervisorTest, EndsAShimThatDoesNotLeave) {
  shim_shutdown_ = absl::Milliseconds(20);
  Open();
  ASSERT_THAT(Create("box", {{"stay", "yes"}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const StartedSandbox started, supervisor_->Start(context_, "box"));
  EXPECT_THAT(supervisor_->Shutdown(context_, "box"), IsOk());
  EXPECT_TRUE(Ends(started.pid));
  EXPECT_FALSE(base::Exists(Bundle("box")));
}

TEST_P(SandboxSupervisorTest, EndsAgainAShimThatKnowsNoSandboxes) {
  constexpr char kDebianShim[] = "/usr/bin/containerd-shim-runc-v2";
  if (::geteuid() != 0 || ::access(kDebianShim, X_OK) != 0) GTEST_SKIP() << "no " << kDebianShim;
  CreateSandbox request{.id = "box", .runtime = kDebianShim};
  request.spec.value = R"({"ociVersion":"1.0.2"})";
  EXPECT_THAT(supervisor_->Create(context_, request), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_FALSE(base::Exists(Bundle("box")));
  while (AnyProcessNames(dir_)) absl::SleepFor(absl::Milliseconds(2));
}

TEST_P(SandboxSupervisorTest, StopsWhatIsNotThereWithoutAWord) {
  EXPECT_THAT(supervisor_->Stop(context_, "nobody", 1), IsOk());
  EXPECT_THAT(supervisor_->Shutdown(context_, "nobody"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(supervisor_->Start(context_, "nobody"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(WaitFor("nobody").get(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(SandboxSupervisorTest, CleansUpAfterAShimThatDies) {
  ASSERT_THAT(Create("box"), IsOk());
  ASSERT_OK_AND_ASSIGN(const StartedSandbox started, supervisor_->Start(context_, "box"));
  auto exit = WaitFor("box");
  ASSERT_EQ(::kill(static_cast<pid_t>(started.pid), SIGKILL), 0);
  EXPECT_FALSE(exit.get().ok());  // Nobody knows how it ended.
  AwaitGone("box");
  EXPECT_THAT(Create("box"), IsOk());
}

TEST_P(SandboxSupervisorTest, FindsSandboxesAgainAfterARestart) {
  ASSERT_THAT(Create("box"), IsOk());
  ASSERT_THAT(Create("other"), IsOk());
  ASSERT_OK_AND_ASSIGN(const StartedSandbox started, supervisor_->Start(context_, "box"));
  ASSERT_OK_AND_ASSIGN(const StartedSandbox doomed, supervisor_->Start(context_, "other"));
  supervisor_.reset();
  ASSERT_EQ(::kill(static_cast<pid_t>(doomed.pid), SIGKILL), 0);
  Open();
  supervisor_->Adopt();
  ASSERT_OK_AND_ASSIGN(const SandboxState state, supervisor_->State(context_, "box", false));
  EXPECT_EQ(state.pid, started.pid);
  EXPECT_EQ(state.state, "SANDBOX_READY");
  EXPECT_EQ(state.endpoint.address, started.endpoint.address);
  AwaitGone("other");
  EXPECT_THAT(supervisor_->Shutdown(context_, "box"), IsOk());
  EXPECT_TRUE(Ends(started.pid));
}

TEST_P(SandboxSupervisorTest, ADroppedWaitIsNotCalled) {
  ASSERT_THAT(Create("box"), IsOk());
  bool called = false;
  auto wait = supervisor_->Wait(context_, "box", [&](const auto&) { called = true; });
  wait.reset();
  auto exit = WaitFor("box");
  EXPECT_THAT(supervisor_->Stop(context_, "box", 0), IsOk());
  EXPECT_THAT(exit.get(), IsOk());
  EXPECT_FALSE(called);
}

TEST(AimAtSandbox, LeavesTasksAloneThatHaveNoSandbox) {
  CreateTask task{.id = "t", .sandbox = "box"};
  AimAtSandbox(base::Context("n"), nullptr, task);
  EXPECT_EQ(task.task_api_address, "");
}

}  // namespace
}  // namespace ctrd::runtime
