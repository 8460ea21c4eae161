// SPDX-License-Identifier: Apache-2.0

// The runtime's program is a script that notes how it was called and does as it is told.
#include "runtime/runc/runc.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/process.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "runtime/runc/runtime_log.h"

namespace ctrd::runtime::runc {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::HasSubstr;

class RuncTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory(testing::TempDir(), "runc-test"));
    ASSERT_OK_AND_ASSIGN(loop_, base::EventLoop::Create());
    ASSERT_OK_AND_ASSIGN(reaper_, Reaper::Create(loop_.get()));
    program_.binary = directory_ + "/runc";
    program_.root = directory_ + "/state";
    program_.namespace_name = "ns";
    program_.log_path = directory_ + "/log.json";
    Script("");
  }
  void TearDown() override { ASSERT_THAT(base::RemoveTree(directory_), IsOk()); }

  // What the runtime does; its arguments are noted before.
  void Script(const std::string& body) {
    const std::string text =
        fmt::format("#!/bin/sh\necho \"$@\" > {}/called\n{}\n", directory_, body);
    ASSERT_THAT(base::WriteFileAtomically(program_.binary, text, 0755), IsOk());
  }
  void WriteLog(const std::string& text) {
    ASSERT_THAT(base::WriteFileAtomically(program_.log_path, text, 0600), IsOk());
  }
  Runc runc() { return Runc(loop_.get(), reaper_.get(), program_); }

  // Runs the loop until the call that `begin` makes has ended.
  absl::Status Await(const std::function<void(Runc::Done)>& begin) {
    std::optional<absl::Status> result;
    begin([&](absl::Status status) {
      result = std::move(status);
      loop_->Stop();
    });
    loop_->Run();
    return *result;
  }
  std::string Called() {
    const auto text = base::ReadFile(directory_ + "/called");
    return text.ok() ? text->substr(0, text->find('\n')) : "";
  }
  std::string Globals() const {
    return fmt::format("--root {0}/state/ns --log {0}/log.json --log-format json ", directory_);
  }

  std::string directory_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Reaper> reaper_;
  Program program_;
};

TEST_F(RuncTest, CommandLinesAreThoseOfTheReference) {
  Runc runc = this->runc();
  const auto expect = [&](const std::string& arguments, auto begin) {
    EXPECT_THAT(Await(begin), IsOk());
    EXPECT_EQ(Called(), Globals() + arguments);
  };
  const CreateOptions plain{.bundle = "/b", .pid_file = "/b/init.pid"};
  expect("create --bundle /b --pid-file /b/init.pid c1",
         [&](auto done) { runc.Create("c1", plain, {}, done); });
  const CreateOptions full{.bundle = "/b",
                           .pid_file = "/p",
                           .console_socket = "/s",
                           .no_pivot = true,
                           .no_new_keyring = true};
  expect("create --bundle /b --pid-file /p --console-socket /s --no-pivot --no-new-keyring c1",
         [&](auto done) { runc.Create("c1", full, {}, done); });
  expect("start c1", [&](auto done) { runc.Start("c1", done); });
  expect("exec --process /proc.json --console-socket /s --detach --pid-file /b/e.pid c1",
         [&](auto done) {
           runc.Exec("c1", {"/proc.json", "/b/e.pid", "/s"}, {}, done);
         });
  expect("kill c1 15", [&](auto done) { runc.Kill("c1", 15, false, done); });
  expect("kill --all c1 9", [&](auto done) { runc.Kill("c1", 9, true, done); });
  expect("kill --all c1 9", [&](auto done) { runc.KillAll("c1", done); });
  expect("delete c1", [&](auto done) { runc.Delete("c1", done); });
  expect("pause c1", [&](auto done) { runc.Pause("c1", done); });
  expect("resume c1", [&](auto done) { runc.Resume("c1", done); });
  expect("update --resources=- c1", [&](auto done) { runc.Update("c1", "{}", done); });
  const RestoreOptions restore{plain, "/image", "/work", "/parent"};
  expect(
      "restore --image-path /image --work-path /work --parent-path /parent --detach "
      "--pid-file /b/init.pid -no-subreaper --bundle /b c1",
      [&](auto done) { runc.Restore("c1", restore, {}, done); });
  const CheckpointOptions checkpoint{.image_path = "/image",
                                     .work_path = "/work",
                                     .open_tcp = true,
                                     .file_locks = true,
                                     .empty_namespaces = {"network"}};
  expect(
      "checkpoint --image-path /image --work-path /work --tcp-established --file-locks "
      "--empty-ns network --leave-running c1",
      [&](auto done) { runc.Checkpoint("c1", checkpoint, done); });
}

TEST_F(RuncTest, SystemdCgroupIsAGlobalFlag) {
  program_.systemd_cgroup = true;
  Runc runc = this->runc();
  EXPECT_THAT(Await([&](auto done) { runc.Start("c1", done); }), IsOk());
  EXPECT_EQ(Called(), Globals() + "--systemd-cgroup start c1");
}

TEST_F(RuncTest, TheLastErrorOfTheLogIsTold) {
  WriteLog("{\"level\":\"error\",\"msg\":\"of an earlier call\"}\n");
  Script("echo '{\"level\":\"info\",\"msg\":\"x\"}' >> " + program_.log_path +
         "\necho '{\"level\":\"error\",\"msg\":\" no such file \"}' >> " + program_.log_path +
         "\nexit 1");
  Runc runc = this->runc();
  EXPECT_THAT(Await([&](auto done) { runc.Start("c1", done); }),
              StatusIs(absl::StatusCode::kUnknown, "OCI runtime start failed: no such file"));
}

TEST_F(RuncTest, WithoutAnEntryTheExitStatusIsTold) {
  WriteLog("{\"level\":\"error\",\"msg\":\"of an earlier call\"}\n");
  Script("echo oops >&2; exit 3");
  Runc runc = this->runc();
  EXPECT_THAT(Await([&](auto done) { runc.Pause("c1", done); }),
              StatusIs(absl::StatusCode::kUnknown,
                       "OCI runtime pause failed: " + program_.binary +
                           " did not terminate successfully: exit status 3: oops\n"));
}

TEST_F(RuncTest, MissingRuntimeAndLogAreBothTold) {
  program_.binary = "/x/runc";
  Runc runc = this->runc();
  EXPECT_THAT(Await([&](auto done) { runc.Create("c1", {}, {}, done); }),
              StatusIs(absl::StatusCode::kUnknown,
                       "OCI runtime create failed: unable to retrieve OCI runtime error (open " +
                           program_.log_path +
                           ": no such file or directory): fork/exec /x/runc: no such file or "
                           "directory"));
}

TEST_F(RuncTest, KillErrorsAreTheOnesClientsKnow) {
  Runc runc = this->runc();
  const auto kill = [&](auto done) { runc.Kill("c1", 9, false, done); };
  Script("echo 'os: process already finished' >&2; exit 1");
  EXPECT_THAT(Await(kill),
              StatusIs(absl::StatusCode::kNotFound, "process already finished: not found"));
  Script("echo 'Container Not Running' >&2; exit 1");
  EXPECT_THAT(Await(kill),
              StatusIs(absl::StatusCode::kNotFound, "process already finished: not found"));
  Script("echo 'container c1 does not exist' >&2; exit 1");
  EXPECT_THAT(Await(kill), StatusIs(absl::StatusCode::kNotFound, "no such container: not found"));
  Script("echo 'unknown signal' >&2; exit 1");
  EXPECT_THAT(Await(kill),
              StatusIs(absl::StatusCode::kUnknown, HasSubstr("unknown error after kill: ")));
}

TEST_F(RuncTest, DeletingWhatIsGoneSucceeds) {
  WriteLog("");
  Script("echo '{\"level\":\"error\",\"msg\":\"container does not exist\"}' >> " +
         program_.log_path + "; exit 1");
  Runc runc = this->runc();
  EXPECT_THAT(Await([&](auto done) { runc.Delete("c1", done); }), IsOk());
}

TEST_F(RuncTest, ProcessesAreListed) {
  Script("echo '[1, 22]'");
  Runc runc = this->runc();
  std::optional<absl::StatusOr<std::vector<pid_t>>> pids;
  runc.Ps("c1", [&](auto result) {
    pids = std::move(result);
    loop_->Stop();
  });
  loop_->Run();
  ASSERT_THAT(*pids, IsOk());
  EXPECT_EQ(**pids, (std::vector<pid_t>{1, 22}));
}

TEST_F(RuncTest, UpdateGetsItsResourcesOnStandardInput) {
  Script("cat > " + directory_ + "/input");
  Runc runc = this->runc();
  const std::string json = "{\"pids\":{\"limit\":" + std::string(100000, '1') + "}}";
  EXPECT_THAT(Await([&](auto done) { runc.Update("c1", json, done); }), IsOk());
  EXPECT_EQ(base::ReadFile(directory_ + "/input").value(), json);
}

TEST_F(RuncTest, AnExitBeforeTheWatchIsKeptWhilePayingAttention) {
  const Reaper::Attention attention = reaper_->PayAttention();
  ASSERT_OK_AND_ASSIGN(const base::Child child, base::Spawn({.argv = {"sh", "-c", "exit 9"}}));
  siginfo_t info;  // It is over, and not yet collected.
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED | WNOWAIT), 0);
  loop_->Post([&] { loop_->Stop(); });
  loop_->Run();  // One turn, in which the reaper collects it.
  std::optional<Exit> exit;
  reaper_->Watch(child.pid, [&](Exit ended) {
    exit = ended;
    loop_->Stop();
  });
  loop_->Run();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->status, 9);
}

TEST(RuntimeLog, GarbageIsSaidToBeGarbage) {
  EXPECT_THAT(LastErrorOf("not json"), testing::Not(IsOk()));
  EXPECT_EQ(LastErrorOf("").value(), "");
  EXPECT_EQ(LastErrorOf("garbage\n{\"level\":\"error\",\"msg\":\"told\"}\n").value(), "told");
  EXPECT_EQ(LastErrorOf("{\"level\":\"error\",\"msg\":5}").value(), "");
}

}  // namespace
}  // namespace ctrd::runtime::runc
