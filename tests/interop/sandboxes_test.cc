// SPDX-License-Identifier: Apache-2.0

// Sandboxes, as a client of the daemon sees them: a real daemon on its socket, a shim that knows
// the sandbox service, and tasks in it.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/process.h"
#include "base/testing/status_matchers.h"
#include "events/sandbox.pb.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "services/containers/v1/containers.grpc.pb.h"
#include "services/events/v1/events.grpc.pb.h"
#include "services/sandbox/v1/sandbox.grpc.pb.h"
#include "services/tasks/v1/tasks.grpc.pb.h"

namespace ctrd {
namespace {

namespace sandbox_v1 = containerd::services::sandbox::v1;
namespace tasks_v1 = containerd::services::tasks::v1;
namespace containers_v1 = containerd::services::containers::v1;
namespace events_v1 = containerd::services::events::v1;

std::string Program(const char* name) {
  const auto build = std::filesystem::canonical("/proc/self/exe").parent_path().parent_path();
  return build / "bin" / name;
}

class SandboxesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-sb-"));
    namespace_ = dir_.substr(dir_.rfind('/') + 1);
    ASSERT_THAT(base::WriteFileAtomically(
                    dir_ + "/config.toml",
                    fmt::format("version = 3\n[plugins.\"io.containerd.internal.v1.opt\"]\n"
                                "path = \"{}/opt\"\n",
                                dir_),
                    0600),
                base::IsOk());
    StartDaemon();
  }
  void TearDown() override {
    if (dir_.empty()) return;
    sandbox_v1::ControllerShutdownRequest request;
    request.set_sandbox_id("box");
    sandbox_v1::ControllerShutdownResponse response;
    grpc::ClientContext context;
    Prepare(context);
    (void)controller_->Shutdown(&context, request, &response);  // It may be gone.
    StopDaemon(SIGTERM);
    EXPECT_THAT(base::RemoveTree(dir_), base::IsOk());
    (void)::rmdir(("/run/containerd/runc/" + namespace_).c_str());  // What runc keeps of it.
  }

  void StartDaemon() {
    const std::string address = dir_ + "/c.sock";
    daemon_ = ::fork();
    if (daemon_ == 0) {
      ::execl(Program("containerd").c_str(), "containerd", "--config",
              (dir_ + "/config.toml").c_str(), "--address", address.c_str(), "--root",
              (dir_ + "/root").c_str(), "--state", (dir_ + "/state").c_str(), "--log-level",
              "error", nullptr);
      ::_exit(127);
    }
    // Not the connection to a daemon before this one.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel =
        grpc::CreateCustomChannel("unix:" + address, grpc::InsecureChannelCredentials(), arguments);
    ASSERT_TRUE(
        channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30)));
    store_ = sandbox_v1::Store::NewStub(channel);
    controller_ = sandbox_v1::Controller::NewStub(channel);
    tasks_ = tasks_v1::Tasks::NewStub(channel);
    containers_ = containers_v1::Containers::NewStub(channel);
    events_ = events_v1::Events::NewStub(channel);
  }
  void StopDaemon(int signal) {
    ::kill(daemon_, signal);
    ::waitpid(daemon_, nullptr, 0);
  }

  void Prepare(grpc::ClientContext& context) const {
    context.AddMetadata("containerd-namespace", namespace_);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  }
  // One call, which must succeed.
  template <typename Stub, typename Request, typename Response>
  Response Do(Stub& stub,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
    Response response;
    const grpc::Status status = Try(stub, method, request, &response);
    EXPECT_TRUE(status.ok()) << Request::descriptor()->name() << ": " << status.error_message();
    return response;
  }
  template <typename Stub, typename Request, typename Response>
  grpc::Status Try(Stub& stub,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response* response) {
    grpc::ClientContext context;
    Prepare(context);
    return (stub.*method)(&context, request, response);
  }

  void CreateSandbox() {
    const std::string runtime = Program(shim_);
    sandbox_v1::StoreCreateRequest record;
    record.mutable_sandbox()->set_sandbox_id("box");
    record.mutable_sandbox()->set_sandboxer("shim");
    record.mutable_sandbox()->mutable_runtime()->set_name(runtime);
    (*record.mutable_sandbox()->mutable_labels())["color"] = "red";
    Do(*store_, &sandbox_v1::Store::Stub::Create, record);
    sandbox_v1::ControllerCreateRequest create;
    create.set_sandbox_id("box");
    create.set_sandboxer("shim");
    create.set_netns_path("/run/netns/x");
    EXPECT_EQ(Do(*controller_, &sandbox_v1::Controller::Stub::Create, create).sandbox_id(), "box");
  }
  sandbox_v1::ControllerStartResponse StartSandbox() {
    sandbox_v1::ControllerStartRequest start;
    start.set_sandbox_id("box");
    return Do(*controller_, &sandbox_v1::Controller::Stub::Start, start);
  }
  sandbox_v1::ControllerStatusResponse Status() {
    sandbox_v1::ControllerStatusRequest request;
    request.set_sandbox_id("box");
    request.set_verbose(true);
    return Do(*controller_, &sandbox_v1::Controller::Stub::Status, request);
  }
  void CreateContainer(const std::string& spec = "{}") {
    containers_v1::CreateContainerRequest request;
    auto* container = request.mutable_container();
    container->set_id("inside");
    container->mutable_runtime()->set_name(Program(shim_));
    container->mutable_spec()->set_type_url(
        "types.containerd.io/opencontainers/runtime-spec/1/Spec");
    container->mutable_spec()->set_value(spec);
    container->set_sandbox("box");
    Do(*containers_, &containers_v1::Containers::Stub::Create, request);
  }
  uint32_t CreateTask() {
    tasks_v1::CreateTaskRequest request;
    request.set_container_id("inside");
    return Do(*tasks_, &tasks_v1::Tasks::Stub::Create, request).pid();
  }
  void DeleteTask() {
    tasks_v1::KillRequest kill;
    kill.set_container_id("inside");
    kill.set_signal(9);
    Do(*tasks_, &tasks_v1::Tasks::Stub::Kill, kill);
    tasks_v1::DeleteTaskRequest request;
    request.set_container_id("inside");
    Do(*tasks_, &tasks_v1::Tasks::Stub::Delete, request);
  }

  const char* shim_ = "fake_sandbox_shim";
  std::string dir_, namespace_;
  pid_t daemon_ = -1;
  std::unique_ptr<sandbox_v1::Store::Stub> store_;
  std::unique_ptr<sandbox_v1::Controller::Stub> controller_;
  std::unique_ptr<tasks_v1::Tasks::Stub> tasks_;
  std::unique_ptr<containers_v1::Containers::Stub> containers_;
  std::unique_ptr<events_v1::Events::Stub> events_;
};

TEST_F(SandboxesTest, RecordsAreKept) {
  CreateSandbox();
  sandbox_v1::StoreListRequest list;
  list.add_filters("labels.color==red");
  const auto listed = Do(*store_, &sandbox_v1::Store::Stub::List, list);
  ASSERT_EQ(listed.list_size(), 1);
  EXPECT_EQ(listed.list(0).sandbox_id(), "box");
  EXPECT_EQ(listed.list(0).sandboxer(), "shim");

  sandbox_v1::StoreUpdateRequest update;
  update.mutable_sandbox()->set_sandbox_id("box");
  (*update.mutable_sandbox()->mutable_labels())["color"] = "blue";
  update.add_fields("labels.color");
  EXPECT_EQ(Do(*store_, &sandbox_v1::Store::Stub::Update, update).sandbox().labels().at("color"),
            "blue");

  sandbox_v1::StoreDeleteRequest remove;
  remove.set_sandbox_id("box");
  Do(*store_, &sandbox_v1::Store::Stub::Delete, remove);
  sandbox_v1::StoreGetRequest get;
  get.set_sandbox_id("box");
  sandbox_v1::StoreGetResponse response;
  EXPECT_EQ(Try(*store_, &sandbox_v1::Store::Stub::Get, get, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(SandboxesTest, ASandboxIsLedThroughItsLifeWithItsEvents) {
  grpc::ClientContext subscription;
  Prepare(subscription);
  events_v1::SubscribeRequest subscribe;
  subscribe.add_filters("topic~=^/sandboxes/");
  const auto events = events_->Subscribe(&subscription, subscribe);
  events->WaitForInitialMetadata();

  CreateSandbox();
  EXPECT_EQ(Status().state(), "SANDBOX_NOTREADY");
  const auto started = StartSandbox();
  EXPECT_GT(started.pid(), 1u);
  EXPECT_EQ(started.address().substr(0, 14), "ttrpc+unix:///");
  EXPECT_EQ(started.version(), 3u);
  EXPECT_TRUE(started.has_created_at());
  EXPECT_EQ(Status().state(), "SANDBOX_READY");
  EXPECT_EQ(Status().info().at("netns"), "/run/netns/x");
  sandbox_v1::ControllerPlatformRequest platform;
  platform.set_sandbox_id("box");
  EXPECT_EQ(Do(*controller_, &sandbox_v1::Controller::Stub::Platform, platform).platform().os(),
            "linux");
  sandbox_v1::ControllerMetricsRequest metrics;
  metrics.set_sandbox_id("box");
  EXPECT_EQ(Do(*controller_, &sandbox_v1::Controller::Stub::Metrics, metrics).metrics().id(),
            "box");

  sandbox_v1::ControllerWaitResponse exit;
  std::thread waiter([&] {
    sandbox_v1::ControllerWaitRequest wait;
    wait.set_sandbox_id("box");
    exit = Do(*controller_, &sandbox_v1::Controller::Stub::Wait, wait);
  });
  sandbox_v1::ControllerStopRequest stop;
  stop.set_sandbox_id("box");
  stop.set_timeout_secs(1);
  Do(*controller_, &sandbox_v1::Controller::Stub::Stop, stop);
  waiter.join();
  EXPECT_EQ(exit.exit_status(), 42u);
  EXPECT_TRUE(exit.has_exited_at());
  Do(*controller_, &sandbox_v1::Controller::Stub::Stop, stop);  // Again: no error.

  for (const char* topic : {"/sandboxes/create", "/sandboxes/start", "/sandboxes/exit"}) {
    containerd::types::Envelope event;
    ASSERT_TRUE(events->Read(&event)) << topic;
    EXPECT_EQ(event.topic(), topic);
    EXPECT_EQ(event.namespace_(), namespace_);
    containerd::events::SandboxExit payload;  // All begin with the id.
    ASSERT_TRUE(payload.ParseFromString(event.event().value()));
    EXPECT_EQ(payload.sandbox_id(), "box");
    if (event.topic() == "/sandboxes/exit") {
      EXPECT_EQ(payload.exit_status(), 42u);
    }
  }
  subscription.TryCancel();

  sandbox_v1::ControllerShutdownRequest shutdown;
  shutdown.set_sandbox_id("box");
  Do(*controller_, &sandbox_v1::Controller::Stub::Shutdown, shutdown);
  const auto gone = Status();  // No error, and ended.
  EXPECT_EQ(gone.sandbox_id(), "box");
  EXPECT_EQ(gone.state(), "");
  EXPECT_TRUE(gone.has_exited_at());
}

TEST_F(SandboxesTest, TasksOfASandboxLiveInItsShim) {
  CreateSandbox();
  StartSandbox();
  CreateContainer();
  EXPECT_EQ(CreateTask(), 4242u);
  EXPECT_EQ(Status().info().at("tasks"), "1");
  DeleteTask();
  EXPECT_EQ(Status().info().at("tasks"), "0");
  EXPECT_EQ(Status().state(), "SANDBOX_READY");  // It goes on without them.
}

TEST_F(SandboxesTest, ARestartOfTheDaemonChangesNothing) {
  CreateSandbox();
  const auto started = StartSandbox();
  CreateContainer();
  CreateTask();
  StopDaemon(SIGKILL);
  StartDaemon();
  const auto status = Status();
  EXPECT_EQ(status.state(), "SANDBOX_READY");
  EXPECT_EQ(status.pid(), started.pid());
  EXPECT_EQ(status.address(), started.address());
  EXPECT_EQ(status.info().at("tasks"), "1");
  tasks_v1::GetRequest get;
  get.set_container_id("inside");
  EXPECT_EQ(Do(*tasks_, &tasks_v1::Tasks::Stub::Get, get).process().pid(), 4242u);
  DeleteTask();
}

// With the shim of this project, and a process that runs.
class OwnShimTest : public SandboxesTest {
 protected:
  static constexpr char kBusybox[] = "/bin/busybox";
  void SetUp() override {
    if (::access(kBusybox, X_OK) != 0) GTEST_SKIP() << "no busybox";
    if (!base::FindExecutable("runc").ok()) GTEST_SKIP() << "no runc";
    shim_ = "containerd-shim-runc-v2";
    SandboxesTest::SetUp();
  }
  std::string Spec() {
    EXPECT_THAT(base::MakeDirectories(dir_ + "/rootfs/proc", 0755), base::IsOk());
    EXPECT_THAT(base::MakeDirectories(dir_ + "/rootfs/bin", 0755), base::IsOk());
    std::filesystem::copy_file(kBusybox, dir_ + "/rootfs/bin/busybox");
    return fmt::format(
        R"({{"ociVersion":"1.0.2","root":{{"path":"{}/rootfs"}},
            "process":{{"user":{{"uid":0,"gid":0}},"cwd":"/","args":["/bin/busybox","sleep","1000"]}},
            "mounts":[{{"destination":"/proc","type":"proc","source":"proc"}}],
            "linux":{{"cgroupsPath":"/{}",
                      "namespaces":[{{"type":"pid"}},{{"type":"mount"}}]}}}})",
        dir_, namespace_);
  }
  containerd::v1::types::Process Task() {
    tasks_v1::GetRequest get;
    get.set_container_id("inside");
    return Do(*tasks_, &tasks_v1::Tasks::Stub::Get, get).process();
  }
};

TEST_F(OwnShimTest, HoldsTheTasksOfASandboxTogether) {
  CreateSandbox();
  const uint32_t pid = StartSandbox().pid();
  CreateContainer(Spec());
  const uint32_t task = CreateTask();
  tasks_v1::StartRequest start;
  start.set_container_id("inside");
  Do(*tasks_, &tasks_v1::Tasks::Stub::Start, start);
  EXPECT_EQ(Status().pid(), pid);
  EXPECT_TRUE(Status().info().contains("container inside"));

  StopDaemon(SIGKILL);
  StartDaemon();
  EXPECT_EQ(Status().state(), "SANDBOX_READY");
  EXPECT_EQ(Status().pid(), pid);
  EXPECT_EQ(Task().pid(), task);
  EXPECT_EQ(Task().status(), containerd::v1::types::RUNNING);

  sandbox_v1::ControllerStopRequest stop;
  stop.set_sandbox_id("box");
  stop.set_timeout_secs(20);
  Do(*controller_, &sandbox_v1::Controller::Stub::Stop, stop);
  EXPECT_EQ(Task().status(), containerd::v1::types::STOPPED);
  EXPECT_EQ(Task().exit_status(), 137u);
  sandbox_v1::ControllerWaitRequest wait;
  wait.set_sandbox_id("box");
  EXPECT_TRUE(Do(*controller_, &sandbox_v1::Controller::Stub::Wait, wait).has_exited_at());
  EXPECT_EQ(Status().state(), "SANDBOX_NOTREADY");

  tasks_v1::DeleteTaskRequest remove;
  remove.set_container_id("inside");
  Do(*tasks_, &tasks_v1::Tasks::Stub::Delete, remove);
  sandbox_v1::ControllerShutdownRequest shutdown;
  shutdown.set_sandbox_id("box");
  Do(*controller_, &sandbox_v1::Controller::Stub::Shutdown, shutdown);
  EXPECT_EQ(Status().state(), "");
  for (const char* plugin :
       {"io.containerd.sandbox.controller.v1.shim", "io.containerd.runtime.v2.task"}) {
    const std::string bundles = fmt::format("{}/state/{}/{}", dir_, plugin, namespace_);
    EXPECT_TRUE(std::filesystem::is_empty(bundles)) << bundles;
  }
}

TEST_F(SandboxesTest, UnknownControllersAndNamespacesAreRefused) {
  sandbox_v1::ControllerStatusRequest request;
  request.set_sandbox_id("box");
  request.set_sandboxer("nobody");
  sandbox_v1::ControllerStatusResponse response;
  const grpc::Status unknown =
      Try(*controller_, &sandbox_v1::Controller::Stub::Status, request, &response);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  grpc::ClientContext context;
  EXPECT_EQ(controller_->Status(&context, request, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace ctrd
