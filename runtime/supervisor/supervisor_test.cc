// SPDX-License-Identifier: Apache-2.0

// The supervisor with real shims, runc and a busybox root file system: the shim of this project and
// the one the distribution has, which is of another generation.

#include "runtime/supervisor/supervisor.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/mount.h"
#include "base/process.h"
#include "base/testing/status_matchers.h"
#include "base/time.h"
#include "events/task.pb.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/testing/recorded_events.h"
#include "runtime/ttrpc/server.h"
#include "services/ttrpc/events/v1/events.pb.h"

namespace ctrd::runtime {
namespace {

using base::IsOk;
using base::StatusIs;

constexpr char kBusybox[] = "/bin/busybox";

// The socket on which shims hand in their events.
class EventServer {
 public:
  EventServer(const std::string& socket, std::function<void(const base::Event&)> take) {
    auto thread = base::EventLoopThread::Create();
    EXPECT_THAT(thread, IsOk());
    thread_ = *std::move(thread);
    Await([&] {
      server_ = std::make_unique<ttrpc::Server>(thread_->loop());
      server_->AddService(
          "containerd.services.events.ttrpc.v1.Events",
          {{"Forward", [take = std::move(take)](const ttrpc::Call& call, ttrpc::Responder reply) {
              containerd::services::events::ttrpc::v1::ForwardRequest request;
              EXPECT_TRUE(request.ParseFromString(call.payload));
              const auto& envelope = request.envelope();
              take({.timestamp = TimeOf(envelope.timestamp()),
                    .namespace_name = envelope.namespace_(),
                    .topic = envelope.topic(),
                    .payload = {.type_url = envelope.event().type_url(),
                                .value = envelope.event().value()}});
              reply.Reply(std::string());
            }}});
      auto listener = ttrpc::ListenUnix(socket);
      EXPECT_THAT(listener, IsOk());
      EXPECT_THAT(server_->Listen(*std::move(listener)), IsOk());
    });
  }
  ~EventServer() {
    Await([&] { server_.reset(); });
  }

 private:
  void Await(const std::function<void()>& task) {
    std::promise<void> done;
    thread_->loop()->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<ttrpc::Server> server_;
};

struct ShimUnderTest {
  const char* name;
  std::string path;
};

void PrintTo(const ShimUnderTest& shim, std::ostream* out) { *out << shim.name; }

std::string OwnShim() {
  const auto build = std::filesystem::canonical("/proc/self/exe").parent_path().parent_path();
  return build / "bin/containerd-shim-runc-v2";
}

class SupervisorTest : public testing::TestWithParam<ShimUnderTest> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::access(GetParam().path.c_str(), X_OK) != 0) GTEST_SKIP() << "no " << GetParam().path;
    if (::access(kBusybox, X_OK) != 0) GTEST_SKIP() << "no busybox";
    if (!base::FindExecutable("runc").ok()) GTEST_SKIP() << "no runc";
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-supervisor-"));
    namespace_ = "sup-" + dir_.substr(dir_.rfind('-') + 1);
    context_ = base::Context(namespace_);
    ASSERT_THAT(base::MakeDirectories(dir_ + "/rootfs/bin", 0755), IsOk());
    for (const char* directory : {"proc", "dev", "tmp"}) {
      ASSERT_THAT(base::MakeDirectories(dir_ + "/rootfs/" + directory, 0755), IsOk());
    }
    ASSERT_OK_AND_ASSIGN(const std::string busybox, base::ReadFile(kBusybox));
    ASSERT_THAT(base::WriteFileAtomically(dir_ + "/rootfs/bin/busybox", busybox, 0755), IsOk());
    ASSERT_EQ(::symlink("busybox", (dir_ + "/rootfs/bin/sh").c_str()), 0);
    event_server_ = std::make_unique<EventServer>(
        dir_ + "/c.sock.ttrpc", [this](const base::Event& event) { Take(event); });
    Restart();
  }

  void TearDown() override {
    if (dir_.empty()) return;
    if (supervisor_ != nullptr) {
      auto tasks = supervisor_->List(context_);
      if (tasks.ok()) {
        for (const auto& task : *tasks) {
          (void)supervisor_->Kill(context_, task.id, "", SIGKILL, true);
          (void)AwaitExit(task.id, "");
          (void)supervisor_->Delete(context_, task.id);
        }
      }
    }
    event_server_.reset();
    StopSupervisor();
    (void)base::UnmountAll(dir_);
    EXPECT_THAT(base::RemoveTree(dir_), IsOk());
    (void)::rmdir(("/run/containerd/runc/" + namespace_).c_str());
  }

  void StopSupervisor() {
    const std::scoped_lock lock(supervisor_mutex_);
    supervisor_.reset();
  }

  // A new supervisor over the same directories, as after a restart of the daemon.
  void Restart() {
    StopSupervisor();
    auto opened = Supervisor::Open({.root_dir = dir_ + "/root",
                                    .state_dir = dir_ + "/state",
                                    .shims = {.grpc_address = dir_ + "/c.sock",
                                              .ttrpc_address = dir_ + "/c.sock.ttrpc",
                                              .daemon_binary = "/bin/true",
                                              .daemon_version = "v2.3.4",
                                              .socket_dir = "/run/containerd/s"},
                                    .timeouts = timeouts_,
                                    .events = &events_});
    ASSERT_THAT(opened, IsOk());
    const std::scoped_lock lock(supervisor_mutex_);
    supervisor_ = *std::move(opened);
    supervisor_->Adopt();
  }

  // Events that come while no daemon runs are lost.
  void Take(const base::Event& event) {
    const std::scoped_lock lock(supervisor_mutex_);
    if (supervisor_ != nullptr) (void)supervisor_->forwarded_events().Publish(event);
  }

  CreateTask Request(const std::string& id, const std::string& command) const {
    return {.id = id,
            .runtime = GetParam().path,
            .spec = {.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec",
                     .value = Spec(id, command)},
            .rootfs = {{.type = "bind", .source = dir_ + "/rootfs", .options = {"rbind", "ro"}}}};
  }

  // By default the runtime's cgroup is called as the container is, in whichever run.
  std::string Spec(const std::string& id, const std::string& command) const {
    return fmt::format(
        R"({{"ociVersion":"1.0.2","process":{{"user":{{"uid":0,"gid":0}},"args":["/bin/sh","-c",
        "{}"],"env":["PATH=/bin"],"cwd":"/"}},"root":{{"path":"rootfs"}},"hostname":"test",
        "mounts":[{{"destination":"/proc","type":"proc","source":"proc"}},
        {{"destination":"/dev","type":"tmpfs","source":"tmpfs"}}],
        "linux":{{"cgroupsPath":"/{}-{}","namespaces":[{{"type":"pid"}},{{"type":"mount"}},
        {{"type":"ipc"}},{{"type":"uts"}}]}}}})",
        command, namespace_, id);
  }

  static base::Any ProcessSpec(const std::string& command) {
    return {.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Process",
            .value = fmt::format(R"({{"user":{{"uid":0,"gid":0}},"args":["/bin/sh","-c","{}"],
                                 "env":["PATH=/bin"],"cwd":"/"}})",
                                 command)};
  }

  absl::StatusOr<Exit> AwaitExit(const std::string& id, const std::string& exec_id) {
    auto result = std::make_shared<std::promise<absl::StatusOr<Exit>>>();
    auto future = result->get_future();
    const auto wait = supervisor_->Wait(context_, id, exec_id, [result](absl::StatusOr<Exit> exit) {
      result->set_value(std::move(exit));
    });
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      return absl::DeadlineExceededError("no exit");
    }
    return future.get();
  }

  void ExpectNothingLeft(const std::string& id) const {
    EXPECT_FALSE(base::Exists(dir_ + "/state/" + namespace_ + "/" + id));
    EXPECT_FALSE(base::Exists(dir_ + "/root/" + namespace_ + "/" + id));
    EXPECT_FALSE(base::Exists("/run/containerd/runc/" + namespace_ + "/" + id));
    const auto mounts = base::ReadFile("/proc/self/mountinfo");
    EXPECT_EQ(mounts->find(dir_), std::string::npos);
    // What has a hidden name is cleared away after the answer to Delete.
    for (const char* top : {"/state/", "/root/"}) {
      const std::string hidden = dir_ + top + namespace_ + "/." + id;
      const absl::Time limit = absl::Now() + absl::Seconds(20);
      while (base::Exists(hidden) && absl::Now() < limit) std::this_thread::yield();
      EXPECT_FALSE(base::Exists(hidden)) << hidden;
    }
  }

  pid_t ShimPid(const std::string& id) const {
    const auto endpoint = ReadEndpoint(fmt::format("{}/state/{}/{}", dir_, namespace_, id));
    EXPECT_THAT(endpoint, IsOk());
    auto loop = base::EventLoopThread::Create();
    auto shim =
        ShimClient::Connect((*loop)->loop(), *endpoint, namespace_, absl::Now() + absl::Seconds(5));
    EXPECT_THAT(shim, IsOk());
    task_v3::ConnectRequest request;
    request.set_id(id);
    auto answer = (*shim)->CallAndWait(context_, "Connect", request.SerializeAsString());
    EXPECT_THAT(answer, IsOk());
    const auto connected = Parse<task_v3::ConnectResponse>(*answer);
    shim->reset();
    return static_cast<pid_t>(connected->shim_pid());
  }

  // Not as a zombie: what inherits orphans here may not reap them.
  static bool Runs(uint32_t pid) {
    const auto stat = base::ReadFile(fmt::format("/proc/{}/stat", pid));
    return stat.ok() && stat->find(") Z") == stat->npos;
  }

  static containerd::events::TaskExit ExitOf(const base::Event& event) {
    containerd::events::TaskExit exit;
    EXPECT_TRUE(exit.ParseFromString(event.payload.value));
    return exit;
  }

  std::string dir_;
  std::string namespace_;
  base::Context context_;
  SupervisorTimeouts timeouts_;
  RecordedEvents events_;
  std::mutex supervisor_mutex_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<EventServer> event_server_;
};

TEST_P(SupervisorTest, RunsATaskAndDeleteLeavesNothing) {
  ASSERT_OK_AND_ASSIGN(const uint32_t pid, supervisor_->Create(context_, Request("one", "exit 7")));
  EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0);
  EXPECT_THAT(supervisor_->Create(context_, Request("one", "exit 7")),
              StatusIs(absl::StatusCode::kAlreadyExists, "task one: already exists"));
  ASSERT_OK_AND_ASSIGN(const ProcessState created, supervisor_->State(context_, "one", ""));
  EXPECT_EQ(created.state, TaskState::kCreated);
  EXPECT_EQ(created.id, "one");
  EXPECT_EQ(created.exit.at, base::ZeroTime());
  ASSERT_OK_AND_ASSIGN(const uint32_t started, supervisor_->Start(context_, "one", ""));
  EXPECT_EQ(started, pid);
  ASSERT_OK_AND_ASSIGN(const Exit exit, AwaitExit("one", ""));
  EXPECT_EQ(exit.status, 7u);
  ASSERT_OK_AND_ASSIGN(const Exit deleted, supervisor_->Delete(context_, "one"));
  EXPECT_EQ(deleted.status, 7u);
  EXPECT_EQ(deleted.pid, pid);
  EXPECT_EQ(deleted.at, exit.at);
  EXPECT_THAT(supervisor_->Delete(context_, "one"),
              StatusIs(absl::StatusCode::kNotFound, "task one not found"));
  ASSERT_TRUE(events_.Await("/tasks/delete"));
  EXPECT_THAT(events_.Topics(), testing::ElementsAre("/tasks/create", "/tasks/start", "/tasks/exit",
                                                     "/tasks/delete"));
  ExpectNothingLeft("one");
}

TEST_P(SupervisorTest, SameIdCanBeUsedAgainAtOnce) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(supervisor_->Create(context_, Request("again", "exit 0")), IsOk());
    ASSERT_THAT(supervisor_->Start(context_, "again", ""), IsOk());
    ASSERT_THAT(AwaitExit("again", ""), IsOk());
    ASSERT_THAT(supervisor_->Delete(context_, "again"), IsOk());
  }
}

TEST_P(SupervisorTest, KillExecAndPidsReachTheTask) {
  ASSERT_THAT(supervisor_->Create(context_, Request("two", "exec busybox sleep 1000")), IsOk());
  ASSERT_THAT(supervisor_->Start(context_, "two", ""), IsOk());
  EXPECT_THAT(
      supervisor_->Delete(context_, "two"),
      StatusIs(absl::StatusCode::kUnknown,
               testing::StartsWith("failed to delete task: cannot delete a running process")));
  ASSERT_THAT(supervisor_->Exec(context_, "two", {.exec_id = "e1", .spec = ProcessSpec("exit 3")}),
              IsOk());
  ASSERT_THAT(supervisor_->Start(context_, "two", "e1"), IsOk());
  ASSERT_OK_AND_ASSIGN(const Exit exec, AwaitExit("two", "e1"));
  EXPECT_EQ(exec.status, 3u);
  ASSERT_THAT(supervisor_->DeleteProcess(context_, "two", "e1"), IsOk());
  EXPECT_THAT(supervisor_->DeleteProcess(context_, "two", ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(supervisor_->State(context_, "two", "e1"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(supervisor_->CloseIo(context_, "two", "e1", true),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto pids, supervisor_->Pids(context_, "two"));
  EXPECT_EQ(pids.size(), 1u);
  ASSERT_OK_AND_ASSIGN(
      const auto statistics,
      supervisor_->Statistics(context_, [](std::string_view id) { return id == "two"; }));
  ASSERT_EQ(statistics.size(), 1u);
  EXPECT_THAT(statistics[0].data.type_url, testing::StartsWith("io.containerd.cgroups.v"));
  ASSERT_THAT(supervisor_->Kill(context_, "two", "", SIGKILL, false), IsOk());
  ASSERT_OK_AND_ASSIGN(const Exit exit, AwaitExit("two", ""));
  EXPECT_EQ(exit.status, 137u);
  ASSERT_THAT(supervisor_->Delete(context_, "two"), IsOk());
  ExpectNothingLeft("two");
}

TEST_P(SupervisorTest, DroppedWaitIsNotCalledAndAnotherIs) {
  ASSERT_THAT(supervisor_->Create(context_, Request("w", "exec busybox sleep 1000")), IsOk());
  ASSERT_THAT(supervisor_->Start(context_, "w", ""), IsOk());
  bool called = false;
  for (int i = 0; i < 100; ++i) {
    (void)supervisor_->Wait(context_, "w", "", [&](absl::StatusOr<Exit>) { called = true; });
  }
  ASSERT_THAT(supervisor_->Kill(context_, "w", "", SIGKILL, false), IsOk());
  ASSERT_OK_AND_ASSIGN(const Exit exit, AwaitExit("w", ""));
  EXPECT_EQ(exit.status, 137u);
  EXPECT_FALSE(called);
  EXPECT_THAT(AwaitExit("nobody", ""),
              StatusIs(absl::StatusCode::kNotFound, "task nobody not found"));
}

TEST_P(SupervisorTest, FailedCreateLeavesNothing) {
  CreateTask request = Request("bad", "exit 0");
  request.spec.value = R"({"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},
      "args":["/no/such"],"cwd":"/"},"root":{"path":"rootfs"},
      "linux":{"namespaces":[{"type":"mount"}]}})";
  EXPECT_THAT(
      supervisor_->Create(context_, request),
      StatusIs(absl::StatusCode::kUnknown,
               testing::StartsWith("failed to create shim task: OCI runtime create failed: ")));
  ExpectNothingLeft("bad");
  EXPECT_THAT(supervisor_->State(context_, "bad", ""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(events_.Topics(), testing::IsEmpty());
}

TEST_P(SupervisorTest, MissingRuntimeIsToldAndLeavesNothing) {
  CreateTask request = Request("none", "exit 0");
  request.runtime = "io.containerd.nosuch.v9";
  EXPECT_THAT(supervisor_->Create(context_, request),
              StatusIs(absl::StatusCode::kUnknown,
                       "failed to start shim: failed to resolve runtime path: runtime "
                       "\"io.containerd.nosuch.v9\" binary not installed "
                       "\"containerd-shim-nosuch-v9\": file does not exist"));
  ExpectNothingLeft("none");
  request.runtime = dir_ + "/points-nowhere";
  ASSERT_THAT(
      base::WriteFileAtomically(request.runtime, "#!/bin/sh\necho unix:///no/such/socket\n", 0755),
      IsOk());
  EXPECT_THAT(supervisor_->Create(context_, request),
              StatusIs(absl::StatusCode::kUnknown,
                       "failed to start shim: connect 'unix:///no/such/socket': "
                       "No such file or directory"));
  ExpectNothingLeft("none");
  request.id = "bad id";
  EXPECT_THAT(supervisor_->Create(context_, request),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::StartsWith("invalid task id bad id: identifier ")));
}

TEST_P(SupervisorTest, DeathOfAShimIsReportedAndCleanedUp) {
  ASSERT_OK_AND_ASSIGN(const uint32_t pid,
                       supervisor_->Create(context_, Request("dead", "exec busybox sleep 1000")));
  ASSERT_THAT(supervisor_->Start(context_, "dead", ""), IsOk());
  ASSERT_TRUE(events_.Await("/tasks/start"));
  const pid_t shim = ShimPid("dead");
  ASSERT_EQ(::kill(shim, SIGKILL), 0);
  const auto exit = events_.Await("/tasks/exit");
  ASSERT_TRUE(exit);
  EXPECT_EQ(ExitOf(*exit).container_id(), "dead");
  EXPECT_EQ(ExitOf(*exit).id(), "dead");
  EXPECT_EQ(ExitOf(*exit).pid(), pid);
  EXPECT_EQ(ExitOf(*exit).exit_status(), 137u);
  ASSERT_TRUE(events_.Await("/tasks/delete"));
  // Reserving the name waits for the end of the clean-up.
  EXPECT_THAT(supervisor_->Create(context_, Request("dead", "exit 0")), IsOk());
  EXPECT_FALSE(Runs(pid));
  ASSERT_THAT(supervisor_->Delete(context_, "dead"), IsOk());
  ExpectNothingLeft("dead");
}

TEST_P(SupervisorTest, RestartFindsRunningAndStoppedTasks) {
  CreateTask request = Request("lives", "exec busybox sleep 1000");
  ASSERT_OK_AND_ASSIGN(const uint32_t pid, supervisor_->Create(context_, request));
  ASSERT_THAT(supervisor_->Start(context_, "lives", ""), IsOk());
  ASSERT_THAT(supervisor_->Create(context_, Request("ends", "exec busybox sleep 1000")), IsOk());
  ASSERT_OK_AND_ASSIGN(const uint32_t ends, supervisor_->Start(context_, "ends", ""));
  StopSupervisor();
  events_.Clear();
  // The runtime's own program, until the container's takes its place, ends with 2 on other signals.
  ASSERT_EQ(::kill(static_cast<pid_t>(ends), SIGKILL), 0);
  while (::kill(static_cast<pid_t>(ends), 0) == 0) std::this_thread::yield();

  Restart();
  ASSERT_OK_AND_ASSIGN(const ProcessState lives, supervisor_->State(context_, "lives", ""));
  EXPECT_EQ(lives.state, TaskState::kRunning);
  EXPECT_EQ(lives.pid, pid);
  ASSERT_OK_AND_ASSIGN(const Exit exit, AwaitExit("ends", ""));
  EXPECT_EQ(exit.status, 137u);
  ASSERT_OK_AND_ASSIGN(const auto list, supervisor_->List(context_));
  EXPECT_EQ(list.size(), 2u);
  const auto told = events_.Await("/tasks/exit");
  ASSERT_TRUE(told);
  EXPECT_EQ(ExitOf(*told).container_id(), "ends");
  EXPECT_EQ(ExitOf(*told).exit_status(), 137u);
  ASSERT_OK_AND_ASSIGN(const Exit deleted, supervisor_->Delete(context_, "ends"));
  EXPECT_EQ(deleted.at, exit.at);
  ASSERT_THAT(supervisor_->Kill(context_, "lives", "", SIGKILL, false), IsOk());
  ASSERT_THAT(AwaitExit("lives", ""), IsOk());
  ASSERT_THAT(supervisor_->Delete(context_, "lives"), IsOk());
  ExpectNothingLeft("lives");
  ExpectNothingLeft("ends");
}

TEST_P(SupervisorTest, RestartReportsShimsThatDiedMeanwhile) {
  ASSERT_OK_AND_ASSIGN(const uint32_t pid,
                       supervisor_->Create(context_, Request("gone", "exec busybox sleep 1000")));
  ASSERT_THAT(supervisor_->Start(context_, "gone", ""), IsOk());
  const pid_t shim = ShimPid("gone");
  StopSupervisor();
  events_.Clear();
  ASSERT_EQ(::kill(shim, SIGKILL), 0);
  Restart();
  ASSERT_TRUE(supervisor_->WaitAdopted(absl::Now() + absl::Seconds(20)));
  EXPECT_THAT(events_.Topics(), testing::ElementsAre("/tasks/exit", "/tasks/delete"));
  EXPECT_THAT(supervisor_->State(context_, "gone", ""),
              StatusIs(absl::StatusCode::kNotFound, "task gone not found"));
  EXPECT_FALSE(Runs(pid));
  ExpectNothingLeft("gone");
}

TEST_P(SupervisorTest, RestartEndsAShimThatWasNeverConnected) {
  ASSERT_THAT(supervisor_->Create(context_, Request("lost", "exec busybox sleep 1000")), IsOk());
  const pid_t shim = ShimPid("lost");
  StopSupervisor();
  // As if the daemon had died before it wrote down where the shim listens.
  const std::string bundle = dir_ + "/state/" + namespace_ + "/lost";
  ASSERT_EQ(::unlink((bundle + "/bootstrap.json").c_str()), 0);
  (void)::unlink((bundle + "/address").c_str());
  Restart();
  ASSERT_TRUE(supervisor_->WaitAdopted(absl::Now() + absl::Seconds(20)));
  EXPECT_THAT(supervisor_->State(context_, "lost", ""), StatusIs(absl::StatusCode::kNotFound));
  ExpectNothingLeft("lost");
  EXPECT_FALSE(Runs(static_cast<uint32_t>(shim)));
}

TEST_P(SupervisorTest, TasksOfOneGroupShareAShim) {
  const auto grouped = [&](const std::string& id) {
    CreateTask request = Request(id, "exec busybox sleep 1000");
    request.spec.value.insert(1, R"("annotations":{"io.containerd.runc.v2.group":"pod"},)");
    return request;
  };
  ASSERT_THAT(supervisor_->Create(context_, grouped("pod")), IsOk());
  ASSERT_THAT(supervisor_->Create(context_, grouped("member")), IsOk());
  ASSERT_THAT(supervisor_->Start(context_, "pod", ""), IsOk());
  ASSERT_THAT(supervisor_->Start(context_, "member", ""), IsOk());
  EXPECT_EQ(ShimPid("pod"), ShimPid("member"));
  Restart();
  ASSERT_THAT(supervisor_->Kill(context_, "pod", "", SIGKILL, false), IsOk());
  ASSERT_THAT(AwaitExit("pod", ""), IsOk());
  ASSERT_THAT(supervisor_->Delete(context_, "pod"), IsOk());
  ASSERT_OK_AND_ASSIGN(const ProcessState member, supervisor_->State(context_, "member", ""));
  EXPECT_EQ(member.state, TaskState::kRunning);
}

TEST_P(SupervisorTest, MuteShimHoldsUpNobody) {
  timeouts_.shim_load = absl::Milliseconds(300);
  timeouts_.task_state = absl::Milliseconds(300);
  ASSERT_THAT(supervisor_->Create(context_, Request("mute", "exec busybox sleep 1000")), IsOk());
  ASSERT_THAT(supervisor_->Start(context_, "mute", ""), IsOk());
  const pid_t shim = ShimPid("mute");
  ASSERT_EQ(::kill(shim, SIGSTOP), 0);
  Restart();
  EXPECT_THAT(supervisor_->Create(context_, Request("other", "exit 0")), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto list, supervisor_->List(context_));
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].id, "other");
  EXPECT_THAT(supervisor_->State(context_, "mute", ""),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(supervisor_->Kill(context_, "mute", "", SIGTERM, false),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_EQ(::kill(shim, SIGCONT), 0);
  ASSERT_OK_AND_ASSIGN(const ProcessState state, supervisor_->State(context_, "mute", ""));
  EXPECT_EQ(state.state, TaskState::kRunning);
}

INSTANTIATE_TEST_SUITE_P(Shims, SupervisorTest,
                         testing::Values(ShimUnderTest{"Own", OwnShim()},
                                         ShimUnderTest{"Distribution",
                                                       "/usr/bin/containerd-shim-runc-v2"}),
                         [](const auto& shim) { return shim.param.name; });

}  // namespace
}  // namespace ctrd::runtime
