// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/runtime_state.h"

#include <unistd.h>

#include "base/files.h"
#include "base/process.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::runtime::shim {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;

constexpr auto kUnproven = absl::StatusCode::kFailedPrecondition;

// A state directory, and a directory that stands for a control group.
class RuntimeStateTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(folder_, base::MakeTempDirectory("/tmp", "runtime-state"));
    ASSERT_THAT(base::MakeDirectories(State(), 0700), IsOk());
    ASSERT_THAT(base::MakeDirectories(Group() + "/below", 0700), IsOk());
    Populate("", "");
    Populate("/below", "");
  }
  void TearDown() override { EXPECT_THAT(base::RemoveTree(folder_), IsOk()); }

  std::string State() const { return folder_ + "/state"; }
  std::string Group() const { return folder_ + "/group"; }
  void Populate(const std::string& group, const std::string& pids) {
    ASSERT_THAT(base::WriteFileAtomically(Group() + group + "/cgroup.procs", pids, 0600), IsOk());
  }
  void Write(const std::string& json) {
    ASSERT_THAT(base::WriteFileAtomically(State() + "/state.json", json, 0600), IsOk());
  }
  void WriteProcess(int pid, uint64_t start) {
    Write(fmt::format(R"({{"init_process_pid":{},"init_process_start":{},)"
                      R"("cgroup_paths":{{"pids":"{}","cpu":"{}/gone"}}}})",
                      pid, start, Group(), Group()));
  }
  // When this process started, as the kernel counts.
  static uint64_t OwnStart() {
    const auto stat = base::ReadFile("/proc/self/stat");
    std::string_view rest = std::string_view(*stat).substr(stat->rfind(')') + 2);
    for (int field = 3; field < 22; ++field) rest.remove_prefix(rest.find(' ') + 1);
    return std::stoull(std::string(rest.substr(0, rest.find(' '))));
  }
  std::string folder_;
};

TEST_F(RuntimeStateTest, OfADeadContainerIsRemoved) {
  WriteProcess(::getpid(), OwnStart() + 1);  // The number is another's now.
  EXPECT_THAT(RemoveDeadState(State()), IsOk());
  EXPECT_FALSE(base::Exists(State()));
}

TEST_F(RuntimeStateTest, StaysWhileTheFirstProcessLives) {
  WriteProcess(::getpid(), OwnStart());
  EXPECT_THAT(RemoveDeadState(State()), StatusIs(kUnproven, HasSubstr("lives")));
  EXPECT_TRUE(base::Exists(State()));
}

TEST_F(RuntimeStateTest, StaysWhileItsControlGroupsHaveProcesses) {
  WriteProcess(::getpid(), OwnStart() + 1);
  for (const char* group : {"", "/below"}) {
    Populate(group, "4711\n");
    EXPECT_THAT(RemoveDeadState(State()), StatusIs(kUnproven, HasSubstr("processes live in")));
    Populate(group, "");
  }
  EXPECT_TRUE(base::Exists(State()));
}

TEST_F(RuntimeStateTest, StaysIfNothingIsProven) {
  EXPECT_THAT(RemoveDeadState(State()), StatusIs(kUnproven));  // No file.
  for (const char* json :
       {"", "null", "{}", R"({"init_process_pid":1})", R"({"init_process_pid":"1"})",
        R"({"init_process_pid":0,"init_process_start":5,"cgroup_paths":{"":"/nowhere"}})",
        R"({"init_process_pid":4194305,"init_process_start":5})",
        R"({"init_process_pid":4194305,"init_process_start":5,"cgroup_paths":{"":""}})"}) {
    Write(json);
    EXPECT_THAT(RemoveDeadState(State()), StatusIs(kUnproven)) << json;
  }
  EXPECT_TRUE(base::Exists(State()));
}

}  // namespace
}  // namespace ctrd::runtime::shim
