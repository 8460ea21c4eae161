// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

class ShimCheckpointTest : public ShimTest {
 protected:
  auto Checkpoint(const std::string& id, const std::string& path, bool exit) {
    task::CheckpointTaskRequest request;
    request.set_id(id);
    request.set_path(path);
    request.mutable_options()->set_type_url("containerd.runc.v1.CheckpointOptions");
    request.mutable_options()->set_value(base::WireWriter().Varint(1, exit ? 1 : 0).Take());
    return Call<Nothing>("Checkpoint", request);
  }
  // What criu says against this kernel; "" if nothing.
  static std::string CriuComplains() {
    const base::SpawnOptions options{.argv = {"criu", "check"},
                                     .environment = base::CurrentEnvironment()};
    const auto result = base::Run(options, "", Soon());
    if (!result.ok()) return std::string(result.status().message());
    return result->exit_code == 0 ? "" : result->output.substr(0, result->output.find('\n'));
  }
};

TEST_F(ShimCheckpointTest, AContainerGoesToDiskAndComesBack) {
  if (const std::string reason = CriuComplains(); !reason.empty()) GTEST_SKIP() << reason;
  RunContainer("ck-round", "i=0; while true; do i=$((i+1)); sleep 1; done");
  const std::string image = directory_ + "/checkpoint";
  ASSERT_THAT(base::MakeDirectories(image, 0700), IsOk());
  ASSERT_THAT(Checkpoint("ck-round", image, /*exit=*/true), IsOk());
  ASSERT_THAT(Wait("ck-round"), IsOk());
  ASSERT_THAT(Delete("ck-round"), IsOk());

  task::CreateTaskRequest request = CreateRequest("ck-round");
  request.set_checkpoint(image);
  ASSERT_OK_AND_ASSIGN(const auto created, Call<task::CreateTaskResponse>("Create", request));
  EXPECT_EQ(created.pid(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto started, Start("ck-round"));
  EXPECT_GT(started.pid(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto state, State("ck-round"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::RUNNING);
  task::StatsRequest statistics;
  statistics.set_id("ck-round");
  EXPECT_THAT(Call<task::StatsResponse>("Stats", statistics), IsOk());
  ASSERT_THAT(Kill("ck-round", SIGKILL), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("ck-round"));
  EXPECT_EQ(exit.exit_status(), 137u);
}

TEST_F(ShimCheckpointTest, AFailureLeavesTheLogAndTheContainerRunning) {
  MakeBundle("ck-fails", "sleep 1000");
  WrapRuntime(R"sh(case "$*" in *" checkpoint "*)
    work=$(echo "$*" | sed 's/.*--work-path \([^ ]*\).*/\1/')
    echo "what criu said" > $work/dump.log
    echo "first line"; echo "second line"; exit 1;; esac)sh");
  StartShim("ck-fails");
  ASSERT_THAT(Create("ck-fails"), IsOk());
  EXPECT_THAT(Checkpoint("ck-fails", directory_ + "/image", false),
              StatusIs(absl::StatusCode::kUnknown, "cannot checkpoint a task in created state"));
  ASSERT_THAT(Start("ck-fails"), IsOk());
  const std::string log = Bundle("ck-fails") + "/criu-dump.log";
  EXPECT_THAT(
      Checkpoint("ck-fails", directory_ + "/image", false),
      StatusIs(
          absl::StatusCode::kUnknown,
          runtime_ + " did not terminate successfully: exit status 1: first line path= " + log));
  EXPECT_EQ(base::ReadFile(log).value(), "what criu said\n");
  EXPECT_FALSE(base::Exists(Bundle("ck-fails") + "/work/criu-work"));
  ASSERT_OK_AND_ASSIGN(const auto state, State("ck-fails"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::RUNNING);

  task::CheckpointTaskRequest foreign;
  foreign.set_id("ck-fails");
  foreign.mutable_options()->set_type_url("some.other.Options");
  EXPECT_THAT(Call<Nothing>("Checkpoint", foreign), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace ctrd::runtime::shim
