// SPDX-License-Identifier: Apache-2.0

// containerd.runc.v1.Options, field by field, and where the server is put.
#include <linux/prctl.h>
#include <sys/prctl.h>

#include "runtime/cgroups/cgroup.h"
#include "runtime/cgroups/cgroup_file.h"
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

// A control group of this test, in every hierarchy there is, for as long as the object lives.
class TestGroup {
 public:
  explicit TestGroup(std::string path) : path_(std::move(path)) {
    const std::string root(cgroups::kMountPoint);
    if (cgroups::HostIsUnified()) {
      EXPECT_THAT(base::MakeDirectories(root + path_, 0755), IsOk());
      return;
    }
    for (const char* controller : {"memory", "pids", "freezer"}) {
      EXPECT_THAT(base::MakeDirectories(root + "/" + controller + path_, 0755), IsOk());
    }
  }
  ~TestGroup() {
    // The kernel lets go of processes that have ended a little after we know of their end.
    const absl::Time deadline = Soon();
    while (absl::Now() < deadline) {
      const auto group = cgroups::Cgroup::AtPath(path_);
      if (!group.ok()) return;
      group->Remove();
    }
    ADD_FAILURE() << path_ << " is left";
  }

 private:
  const std::string path_;
};

class ShimOptionsTest : public ShimTest {
 protected:
  // What the shim calls the runtime with, a line a call; the verb first.
  void RecordCalls() { WrapRuntime(fmt::format(R"(echo "$*" >> {}/calls)", directory_)); }
  std::string Calls() const { return base::ReadFile(directory_ + "/calls").value_or(""); }
  void SetText(int field, const std::string& text) {
    options_ += base::WireWriter().Bytes(field, text).Take();
  }
  void SetNumber(int field, uint64_t number) {
    options_ += base::WireWriter().Varint(field, number).Take();
  }
};

TEST_F(ShimOptionsTest, FlagsReachTheRuntime) {
  MakeBundle("so-flags", "sleep 1000");
  RecordCalls();
  SetNumber(1, 1);
  SetNumber(2, 1);
  StartShim("so-flags");
  ASSERT_THAT(Create("so-flags"), IsOk());
  EXPECT_EQ(Calls(), fmt::format("--root {0}/runc/shimtest --log {1}/log.json --log-format json "
                                 "create --bundle {1} --pid-file {1}/init.pid --no-pivot "
                                 "--no-new-keyring so-flags\n",
                                 directory_, Bundle("so-flags")));
  EXPECT_EQ(
      base::ReadFile(Bundle("so-flags") + "/options.json").value(),
      fmt::format(R"({{"no_pivot_root":true,"no_new_keyring":true,"binary_name":"{0}/runtime",)"
                  R"("root":"{0}/runc"}})",
                  directory_));
  EXPECT_EQ(base::ReadFile(Bundle("so-flags") + "/runtime").value(), directory_ + "/runtime");
}

TEST_F(ShimOptionsTest, SystemdCgroupIsForTheServerOnly) {
  MakeBundle("so-systemd", "sleep 1000");
  RecordCalls();
  SetNumber(9, 1);
  StartShim("so-systemd");
  (void)Create("so-systemd");  // Fails where there is no systemd.
  EXPECT_THAT(Calls(), HasSubstr("--log-format json --systemd-cgroup create "));
  ASSERT_THAT(base::MakeDirectories(directory_ + "/runc/shimtest/so-systemd", 0700), IsOk());
  ASSERT_THAT(RunShim({"delete"}, "so-systemd", ""), IsOk());
  EXPECT_THAT(Calls(), HasSubstr("--log-format json delete --force so-systemd\n"));
}

TEST_F(ShimOptionsTest, StreamsBelongToTheUserOfTheOptions) {
  MakeBundle("so-owner", "sleep 1000");
  // Before runc makes them those of the process's user.
  WrapRuntime(fmt::format(R"(case "$*" in *" create "*)
    find -L /proc/$$/fd/1 /proc/$$/fd/2 -fprintf {}/owners '%U:%G-%y\n';; esac)",
                          directory_));
  SetNumber(4, 1234);
  SetNumber(5, 5678);
  StartShim("so-owner");
  const auto out = ReadPipe("out"), err = ReadPipe("err");
  task::CreateTaskRequest request = CreateRequest("so-owner");
  request.set_stdout(out->path);
  request.set_stderr(err->path);
  ASSERT_THAT(Call<task::CreateTaskResponse>("Create", request), IsOk());
  EXPECT_EQ(base::ReadFile(directory_ + "/owners").value(), "1234:5678-p\n1234:5678-p\n");
  EXPECT_THAT(Delete("so-owner"), IsOk());
}

TEST_F(ShimOptionsTest, ARootOfAnotherUserNamespaceReopensItsStreams) {
  MakeBundle("so-user", "echo mine > /proc/self/fd/1");
  std::string spec = base::ReadFile(Bundle("so-user") + "/config.json").value();
  const std::string namespaces = R"("namespaces":[)";
  spec.insert(spec.find(namespaces),
              R"("uidMappings":[{"containerID":0,"hostID":100000,"size":10}],)"
              R"("gidMappings":[{"containerID":0,"hostID":100000,"size":10}],)");
  spec.insert(spec.find(namespaces) + namespaces.size(), R"({"type":"user"},)");
  ASSERT_THAT(base::WriteFileAtomically(Bundle("so-user") + "/config.json", spec, 0600), IsOk());
  // The way to the root file system is open to that user.
  for (const std::string& path : {directory_, directory_ + "/ns", Bundle("so-user")}) {
    ASSERT_EQ(::chmod(path.c_str(), 0711), 0);
  }
  SetNumber(4, 100000);
  SetNumber(5, 100000);
  StartShim("so-user");
  const auto out = ReadPipe("out"), err = ReadPipe("err");
  task::CreateTaskRequest request = CreateRequest("so-user");
  request.set_stdout(out->path);
  request.set_stderr(err->path);
  const auto created = Call<task::CreateTaskResponse>("Create", request);
  if (!created.ok() && base::Exists("/proc/sys/user/max_user_namespaces") &&
      base::ReadFile("/proc/sys/user/max_user_namespaces").value_or("0\n") == "0\n") {
    GTEST_SKIP() << "needs user namespaces";
  }
  ASSERT_THAT(created, IsOk());
  ASSERT_THAT(Start("so-user"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("so-user"));
  EXPECT_EQ(exit.exit_status(), 0u);
  EXPECT_EQ(out->Join(), "mine\n");
  EXPECT_EQ(err->Join(), "");
}

TEST_F(ShimOptionsTest, CheckpointsAreRestoredFromWhereTheOptionsSay) {
  MakeBundle("so-criu", "sleep 1000");
  WrapRuntime(fmt::format(R"(echo "$*" >> {}/calls; case "$*" in *" restore "*) exit 3;; esac)",
                          directory_));
  SetText(10, "/images/c1");
  SetText(11, "/criu/c1");
  StartShim("so-criu");
  ASSERT_OK_AND_ASSIGN(const auto created, Create("so-criu"));
  EXPECT_EQ(created.pid(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto state, State("so-criu"));
  EXPECT_EQ(state.status(), ::containerd::v1::types::CREATED);
  EXPECT_THAT(Exec("so-criu", "e1", "true"),
              StatusIs(absl::StatusCode::kUnknown, "cannot exec in a created state"));
  EXPECT_THAT(Start("so-criu"),
              StatusIs(absl::StatusCode::kUnknown,
                       AllOf(HasSubstr("OCI runtime restore failed: "),
                             HasSubstr("did not terminate successfully: exit status 3"))));
  EXPECT_THAT(Calls(),
              HasSubstr(fmt::format(
                  "restore --image-path /images/c1 --work-path /criu/c1 --detach --pid-file "
                  "{0}/init.pid -no-subreaper --bundle {0} so-criu\n",
                  Bundle("so-criu"))));
  EXPECT_THAT(Delete("so-criu"), IsOk());
}

TEST_F(ShimOptionsTest, TheServerJoinsTheCgroupOfTheOptions) {
  const std::string path = Group() + "-server";
  const TestGroup group(path);
  MakeBundle("so-group", "sleep 1000");
  SetText(3, path);
  StartShim("so-group");
  ASSERT_OK_AND_ASSIGN(const std::string where,
                       base::ReadFile(fmt::format("/proc/{}/cgroup", shim_pids_["so-group"])));
  EXPECT_THAT(where, HasSubstr((cgroups::HostIsUnified() ? "0::" : "memory:") + path + "\n"));
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
}

TEST_F(ShimOptionsTest, AServerThatCannotJoinItsCgroupIsNotStarted) {
  MakeBundle("so-no-group", "sleep 1000");
  SetText(3, "/shim-test/not/there");
  EXPECT_THAT(RunShim({"start"}, "so-no-group", Params("so-no-group")),
              StatusIs(absl::StatusCode::kUnknown,
                       HasSubstr("failed to load cgroup /shim-test/not/there: ")));
  EXPECT_EQ(base::ListDirectory(directory_ + "/s").value(), std::vector<std::string>{});
}

TEST_F(ShimOptionsTest, TheServerGoesBeforeTheDaemonWhenMemoryRunsOut) {
  MakeBundle("so-oom", "sleep 1000");
  StartShim("so-oom");
  const auto score = [](uint32_t pid) {
    return std::stoi(base::ReadFile(fmt::format("/proc/{}/oom_score_adj", pid)).value());
  };
  EXPECT_EQ(score(shim_pids_["so-oom"]),
            std::min(score(static_cast<uint32_t>(::getpid())) + 1, 1000));
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
}

TEST_F(ShimOptionsTest, SchedCoreGivesTheServerACookie) {
  environment_ = {"SCHED_CORE=1"};
  MakeBundle("so-core", "sleep 1000");
  const auto started = RunShim({"start"}, "so-core", Params("so-core"));
  if (!started.ok()) {
    ASSERT_THAT(started, StatusIs(absl::StatusCode::kUnknown, HasSubstr("PR_SCHED_CORE")));
    GTEST_SKIP() << started.status().message();
  }
  StartShim("so-core");
  uint64_t cookie = 0;
  constexpr int kGetCookie = 0, kOneThread = 0;  // PR_SCHED_CORE_GET, PIDTYPE_PID.
  ASSERT_EQ(::prctl(PR_SCHED_CORE, kGetCookie, shim_pids_["so-core"], kOneThread, &cookie), 0);
  EXPECT_NE(cookie, 0u);
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
}

TEST_F(ShimOptionsTest, UpdateChangesLimits) {
  RunContainer("so-update", "sleep 1000");
  task::UpdateTaskRequest request;
  request.set_id("so-update");
  request.mutable_resources()->set_value(R"({"memory":{"limit":67108864},"pids":{"limit":77}})");
  ASSERT_THAT(Call<Nothing>("Update", request), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto group, cgroups::Cgroup::AtPath(Group() + "/so-update"));
  const std::string root(cgroups::kMountPoint), path = Group() + "/so-update/";
  const bool unified = cgroups::HostIsUnified();
  EXPECT_EQ(
      cgroups::ReadNumber(
          root + (unified ? path + "memory.max" : "/memory" + path + "memory.limit_in_bytes"), 0),
      67108864u);
  EXPECT_EQ(cgroups::ReadNumber(root + (unified ? "" : "/pids") + path + "pids.max", 0), 77u);
  request.mutable_resources()->set_value("not json");
  EXPECT_THAT(Call<Nothing>("Update", request), StatusIs(absl::StatusCode::kUnknown));
}

TEST_F(ShimOptionsTest, AKillForWantOfMemoryIsToldBeforeTheExit) {
  MakeBundle("so-memory", "dd if=/dev/zero of=/dev/null bs=64M count=1; exit $?");
  std::string spec = base::ReadFile(Bundle("so-memory") + "/config.json").value();
  spec.insert(spec.find(R"("cgroupsPath")"),
              R"("resources":{"memory":{"limit":12582912,"swap":12582912}},)");
  ASSERT_THAT(base::WriteFileAtomically(Bundle("so-memory") + "/config.json", spec, 0600), IsOk());
  StartShim("so-memory");
  const auto created = Create("so-memory");
  if (!created.ok()) GTEST_SKIP() << "no memory controller: " << created.status().message();
  ASSERT_THAT(Start("so-memory"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto exit, Wait("so-memory"));
  EXPECT_EQ(exit.exit_status(), 137u);
  const std::vector<std::string> topics = events_->Until("/tasks/exit");
  const auto oom = std::find(topics.begin(), topics.end(), "/tasks/oom");
  EXPECT_LT(oom, std::find(topics.begin(), topics.end(), "/tasks/exit"));
}

TEST_F(ShimOptionsTest, InfoTellsTheRuntimeAndItsFeatures) {
  MakeBundle("so-info", "true");
  const std::string any =
      base::WireWriter().Bytes(1, Options().type_url).Bytes(2, Options().value).Take();
  ASSERT_OK_AND_ASSIGN(const std::string answer, RunShim({"-info"}, "so-info", any));
  std::string name, version;
  base::Any echo, features;
  base::WireReader reader(answer);
  while (const auto field = reader.Next()) {
    if (field->number == 1) name = field->bytes;
    if (field->number == 2) version = field->bytes;
    if (field->number == 3) echo = base::ReadWireAny(field->bytes);
    if (field->number == 4) features = base::ReadWireAny(field->bytes);
  }
  EXPECT_EQ(name, "io.containerd.runc.v2");
  EXPECT_FALSE(version.empty());
  EXPECT_EQ(echo.type_url, "containerd.runc.v1.Options");
  EXPECT_EQ(echo.value, Options().value);
  EXPECT_EQ(features.type_url,
            "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
  EXPECT_THAT(features.value, HasSubstr("\"ociVersionMin\""));
  // A runtime that has no such verb has no features, and that is all.
  runtime_ = "/bin/false";
  const std::string other =
      base::WireWriter().Bytes(1, Options().type_url).Bytes(2, Options().value).Take();
  ASSERT_OK_AND_ASSIGN(const std::string less, RunShim({"-info"}, "so-info", other));
  EXPECT_EQ(less.find("Features"), std::string::npos);
}

}  // namespace
}  // namespace ctrd::runtime::shim
