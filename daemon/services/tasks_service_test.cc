// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/tasks_service.h"

#include <memory>
#include <thread>

#include "base/files.h"
#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "grpcpp/grpcpp.h"
#include "images/archive/tar_writer.h"
#include "runtime/testing/fake_task_runtime.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::services {
namespace {

using grpc::StatusCode;

class TasksServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = tasks_v1::Tasks::NewStub(server_->InProcessChannel({}));
  }
  void TearDown() override { server_->Shutdown(std::chrono::system_clock::now()); }

  static absl::StatusOr<TaskContainer> FindContainer(const base::Context& context,
                                                     std::string_view id) {
    if (id != "c1") {
      return base::NotFound("container \"{}\" in namespace \"{}\"", id, context.namespace_name());
    }
    return TaskContainer{.runtime_name = "io.containerd.runc.v2",
                         .runtime_options = {.type_url = "stored", .value = "o"},
                         .spec = {.type_url = "spec", .value = "{}"}};
  }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (tasks_v1::Tasks::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                    const Request& request, Response* response,
                    const std::string& name = "default") {
    grpc::ClientContext context;
    if (!name.empty()) context.AddMetadata("containerd-namespace", name);
    return (stub_.get()->*method)(&context, request, response);
  }

  grpc::Status Create(const tasks_v1::CreateTaskRequest& request) {
    tasks_v1::CreateTaskResponse response;
    return Call(&tasks_v1::Tasks::Stub::Create, request, &response);
  }

  grpc::Status CreateAndStart() {
    tasks_v1::CreateTaskRequest create;
    create.set_container_id("c1");
    if (const grpc::Status status = Create(create); !status.ok()) return status;
    tasks_v1::StartRequest start;
    start.set_container_id("c1");
    tasks_v1::StartResponse started;
    return Call(&tasks_v1::Tasks::Stub::Start, start, &started);
  }

  runtime::FakeTaskRuntime runtime_;
  TasksService service_{runtime_, FindContainer, nullptr};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<tasks_v1::Tasks::Stub> stub_;
};

TEST_F(TasksServiceTest, NamespaceThenContainerThenTaskAreChecked) {
  tasks_v1::GetRequest request;
  tasks_v1::GetResponse response;
  request.set_container_id("nobody");
  grpc::Status status = Call(&tasks_v1::Tasks::Stub::Get, request, &response, "");
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "namespace is required: failed precondition");
  status = Call(&tasks_v1::Tasks::Stub::Get, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "container \"nobody\" in namespace \"default\": not found");
  request.set_container_id("c1");
  status = Call(&tasks_v1::Tasks::Stub::Get, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "task c1 not found");
}

TEST_F(TasksServiceTest, CreateHandsOnRequestAndRecord) {
  tasks_v1::CreateTaskRequest request;
  request.set_container_id("c1");
  request.set_stdout("/fifo");
  auto* mount = request.add_rootfs();
  mount->set_type("bind");
  mount->add_options("rbind");
  ASSERT_TRUE(Create(request).ok());
  const runtime::CreateTask task = runtime_.last_create();
  EXPECT_EQ(task.runtime, "io.containerd.runc.v2");
  EXPECT_EQ(task.options.type_url, "stored");
  EXPECT_EQ(task.spec.value, "{}");
  EXPECT_EQ(task.stdio.stdout_path, "/fifo");
  ASSERT_EQ(task.rootfs.size(), 1u);
  EXPECT_EQ(task.rootfs[0].options, std::vector<std::string>{"rbind"});
  const grpc::Status again = Create(request);
  EXPECT_EQ(again.error_code(), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(again.error_message(), "task c1: already exists");
}

TEST_F(TasksServiceTest, OptionsOfTheRequestMustBeThoseOfRunc) {
  tasks_v1::CreateTaskRequest request;
  request.set_container_id("c1");
  request.mutable_options()->set_type_url("some.Type");
  grpc::Status status = Create(request);
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "type with url some.Type: not found");
  request.mutable_options()->set_type_url("runtimeoptions.v1.Options");
  EXPECT_EQ(Create(request).error_message(),
            "invalid task create option for io.containerd.runc.v2");
  containerd::runc::v1::Options options;
  options.set_task_api_address("ttrpc+unix:///s");
  options.set_task_api_version(3);
  request.mutable_options()->set_type_url("type.googleapis.com/containerd.runc.v1.Options");
  request.mutable_options()->set_value(options.SerializeAsString());
  ASSERT_TRUE(Create(request).ok());
  EXPECT_EQ(runtime_.last_create().task_api_address, "ttrpc+unix:///s");
  EXPECT_EQ(runtime_.last_create().task_api_version, 3u);
}

class StringSink final : public archive::ByteSink {
 public:
  absl::Status Write(std::string_view data) override {
    bytes.append(data);
    return absl::OkStatus();
  }
  std::string bytes;
};

class RestoreTest : public TasksServiceTest {
 protected:
  void SetUp() override {
    TasksServiceTest::SetUp();
    ASSERT_OK_AND_ASSIGN(dir_, base::MakeTempDirectory("/tmp", "ctrd-restore-"));
    runtime_.rootfs = dir_ + "/rootfs";
    ASSERT_THAT(base::MakeDirectories(dir_ + "/rootfs", 0755), base::IsOk());
    ASSERT_THAT(base::MakeDirectories(dir_ + "/saved/criu", 0755), base::IsOk());
  }
  void TearDown() override {
    TasksServiceTest::TearDown();
    EXPECT_THAT(base::RemoveTree(dir_), base::IsOk());
  }
  void WriteDiff(const std::string& bytes) {
    ASSERT_THAT(base::WriteFileAtomically(dir_ + "/saved/rootfs-diff.tar", bytes, 0644),
                base::IsOk());
  }
  grpc::Status Restore() {
    tasks_v1::CreateTaskRequest request;
    request.set_container_id("c1");
    (*request.mutable_checkpoint()->mutable_annotations())["RestoreFromPath"] =
        dir_ + "/saved/criu";
    return Create(request);
  }
  runtime::TaskState State() {
    const auto state = runtime_.State(base::Context("default"), "c1", "");
    return state.ok() ? state->state : runtime::TaskState::kUnknown;
  }

  std::string dir_;
};

TEST_F(RestoreTest, ATaskIsRestoredFromADirectoryAndStarted) {
  StringSink sink;
  archive::TarWriter tar(sink);
  ASSERT_THAT(tar.WriteHeader({.name = "kept", .mode = 0644, .size_bytes = 5}), base::IsOk());
  ASSERT_THAT(tar.WriteData("state"), base::IsOk());
  ASSERT_THAT(tar.Finish(), base::IsOk());
  WriteDiff(sink.bytes);
  ASSERT_TRUE(Restore().ok());
  EXPECT_EQ(runtime_.last_create().checkpoint_path, dir_ + "/saved/criu");
  EXPECT_EQ(State(), runtime::TaskState::kRunning);
  EXPECT_EQ(base::ReadFile(dir_ + "/rootfs/kept").value(), "state");
}

TEST_F(RestoreTest, WithoutADiffItIsStartedAsItIs) {
  ASSERT_TRUE(Restore().ok());
  EXPECT_EQ(State(), runtime::TaskState::kRunning);
}

TEST_F(RestoreTest, ADiffThatCannotBeAppliedLeavesNoTask) {
  WriteDiff("this is no archive, and longer than nothing");
  const grpc::Status status = Restore();
  EXPECT_THAT(status.error_message(), testing::StartsWith("apply rootfs diff: "));
  EXPECT_EQ(State(), runtime::TaskState::kUnknown);
}

TEST_F(TasksServiceTest, ProcessesAreKnownByTheirIdAndNotExitedIsTheZeroTime) {
  ASSERT_TRUE(CreateAndStart().ok());
  tasks_v1::GetRequest request;
  request.set_container_id("c1");
  tasks_v1::GetResponse response;
  ASSERT_TRUE(Call(&tasks_v1::Tasks::Stub::Get, request, &response).ok());
  EXPECT_EQ(response.process().id(), "c1");
  EXPECT_EQ(response.process().container_id(), "");
  EXPECT_EQ(response.process().status(), containerd::v1::types::RUNNING);
  EXPECT_EQ(response.process().exited_at().seconds(), -62135596800);
  EXPECT_EQ(response.process().exited_at().nanos(), 0);
}

TEST_F(TasksServiceTest, ExecNeedsAnId) {
  ASSERT_TRUE(CreateAndStart().ok());
  tasks_v1::ExecProcessRequest request;
  request.set_container_id("nobody");
  google::protobuf::Empty response;
  grpc::Status status = Call(&tasks_v1::Tasks::Stub::Exec, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "exec id cannot be empty");
  request.set_container_id("c1");
  request.set_exec_id("a b");
  status = Call(&tasks_v1::Tasks::Stub::Exec, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), testing::StartsWith("invalid exec id a b: identifier "));
}

TEST_F(TasksServiceTest, MetricsAreFiltered) {
  ASSERT_TRUE(CreateAndStart().ok());
  tasks_v1::MetricsRequest request;
  tasks_v1::MetricsResponse response;
  request.add_filters("id==other");
  ASSERT_TRUE(Call(&tasks_v1::Tasks::Stub::Metrics, request, &response).ok());
  EXPECT_EQ(response.metrics_size(), 0);
  request.set_filters(0, "id==c1,namespace==default");
  ASSERT_TRUE(Call(&tasks_v1::Tasks::Stub::Metrics, request, &response).ok());
  EXPECT_EQ(response.metrics_size(), 1);
  request.set_filters(0, "id=c1");
  const grpc::Status status = Call(&tasks_v1::Tasks::Stub::Metrics, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(),
            "filters: parse error: [id >|=|< c1]: unsupported operator \"=\": invalid argument");
}

TEST_F(TasksServiceTest, WaitReturnsTheExitToEveryWaiter) {
  ASSERT_TRUE(CreateAndStart().ok());
  tasks_v1::WaitRequest request;
  request.set_container_id("c1");
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      tasks_v1::WaitResponse response;
      if (Call(&tasks_v1::Tasks::Stub::Wait, request, &response).ok() &&
          response.exit_status() == 137) {
        ++good;
      }
    });
  }
  tasks_v1::KillRequest kill;
  kill.set_container_id("c1");
  kill.set_signal(9);
  google::protobuf::Empty empty;
  EXPECT_TRUE(Call(&tasks_v1::Tasks::Stub::Kill, kill, &empty).ok());
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 8);
}

TEST_F(TasksServiceTest, WaitEndsWithTheDeadlineOfItsCaller) {
  ASSERT_TRUE(CreateAndStart().ok());
  grpc::ClientContext context;
  context.AddMetadata("containerd-namespace", "default");
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  tasks_v1::WaitRequest request;
  request.set_container_id("c1");
  tasks_v1::WaitResponse response;
  EXPECT_EQ(stub_->Wait(&context, request, &response).error_code(), StatusCode::DEADLINE_EXCEEDED);
  request.set_container_id("nobody");
  EXPECT_EQ(Call(&tasks_v1::Tasks::Stub::Wait, request, &response).error_code(),
            StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace ctrd::services
