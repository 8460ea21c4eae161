// SPDX-License-Identifier: Apache-2.0

// A shim whose sandboxes and tasks exist in its memory only: the sandbox service and as much of the
// task service as a daemon needs, behind the command line of any shim. For tests of what drives
// shims. A sandbox with the annotation "fail" cannot be created, one with "stay" does not leave;
// one that is stopped ends with 42. Called by a name that ends with "grpc" it speaks that.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/event_loop.h"
#include "base/files.h"
#include "base/wire.h"
#include "fmt/format.h"
#include "runtime/sandbox/v1/sandbox.pb.h"
#include "runtime/supervisor/testing/grpc_bridge.h"
#include "runtime/task/v3/shim.pb.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime {
namespace {

namespace sandbox_v1 = containerd::runtime::sandbox::v1;
namespace task_v3 = containerd::task::v3;
using ttrpc::Call;
using ttrpc::Responder;

constexpr uint32_t kExitStatus = 42;

void SetNow(google::protobuf::Timestamp* time) {
  time->set_seconds(absl::ToUnixSeconds(absl::Now()));
}

template <typename Message>
Message Read(const Call& call) {
  Message message;
  (void)message.ParseFromString(call.payload);  // A test sends what it means.
  return message;
}

class Shim {
 public:
  Shim(base::EventLoop& loop, std::string socket)
      : loop_(loop), socket_(std::move(socket)), server_(&loop) {
    server_.AddService("containerd.runtime.sandbox.v1.Sandbox", SandboxService());
    server_.AddService("containerd.task.v3.Task", TaskService());
  }
  absl::Status Listen(base::UniqueFd listener) { return server_.Listen(std::move(listener)); }

 private:
  ttrpc::Service SandboxService() {
    return {{"CreateSandbox",
             [this](const Call& call, Responder reply) {
               const auto request = Read<sandbox_v1::CreateSandboxRequest>(call);
               if (request.annotations().contains("fail")) {
                 return reply.Reply(absl::UnknownError("asked to fail"));
               }
               id_ = request.sandbox_id();
               netns_ = request.netns_path();
               stays_ = request.annotations().contains("stay");
               reply.Reply(std::string());
             }},
            {"StartSandbox",
             [this](const Call&, Responder reply) {
               ready_ = true;
               sandbox_v1::StartSandboxResponse response;
               response.set_pid(static_cast<uint32_t>(::getpid()));
               SetNow(response.mutable_created_at());
               reply.Reply(response.SerializeAsString());
             }},
            {"Platform",
             [](const Call&, Responder reply) {
               sandbox_v1::PlatformResponse response;
               response.mutable_platform()->set_os("linux");
               response.mutable_platform()->set_architecture("amd64");
               reply.Reply(response.SerializeAsString());
             }},
            {"StopSandbox",
             [this](const Call&, Responder reply) {
               ready_ = false;
               stopped_ = true;
               for (const Responder& waiter : waiters_) waiter.Reply(ExitMessage());
               waiters_.clear();
               reply.Reply(std::string());
             }},
            {"WaitSandbox",
             [this](const Call&, Responder reply) {
               if (stopped_) return reply.Reply(ExitMessage());
               waiters_.push_back(std::move(reply));
             }},
            {"SandboxStatus",
             [this](const Call& call, Responder reply) {
               sandbox_v1::SandboxStatusResponse response;
               response.set_sandbox_id(id_);
               response.set_pid(static_cast<uint32_t>(::getpid()));
               response.set_state(ready_ ? "SANDBOX_READY" : "SANDBOX_NOTREADY");
               if (Read<sandbox_v1::SandboxStatusRequest>(call).verbose()) {
                 (*response.mutable_info())["netns"] = netns_;
                 (*response.mutable_info())["tasks"] = fmt::format("{}", tasks_.size());
               }
               reply.Reply(response.SerializeAsString());
             }},
            {"SandboxMetrics",
             [this](const Call&, Responder reply) {
               sandbox_v1::SandboxMetricsResponse response;
               response.mutable_metrics()->set_id(id_);
               response.mutable_metrics()->mutable_data()->set_type_url("test.Metrics");
               reply.Reply(response.SerializeAsString());
             }},
            {"ShutdownSandbox", [this](const Call&, Responder reply) {
               reply.Reply(std::string());
               Leave();
             }}};
  }

  ttrpc::Service TaskService() {
    return {{"Create",
             [this](const Call& call, Responder reply) {
               tasks_[Read<task_v3::CreateTaskRequest>(call).id()] = containerd::v1::types::CREATED;
               reply.Reply(base::WireWriter().Varint(1, 4242).Take());
             }},
            {"Start",
             [this](const Call& call, Responder reply) {
               tasks_[Read<task_v3::StartRequest>(call).id()] = containerd::v1::types::RUNNING;
               reply.Reply(base::WireWriter().Varint(1, 4242).Take());
             }},
            {"State",
             [this](const Call& call, Responder reply) {
               const std::string id = Read<task_v3::StateRequest>(call).id();
               if (!tasks_.contains(id)) return reply.Reply(absl::NotFoundError("no such task"));
               task_v3::StateResponse response;
               response.set_id(id);
               response.set_pid(4242);
               response.set_status(tasks_[id]);
               reply.Reply(response.SerializeAsString());
             }},
            {"Kill",
             [this](const Call& call, Responder reply) {
               tasks_[Read<task_v3::KillRequest>(call).id()] = containerd::v1::types::STOPPED;
               reply.Reply(std::string());
             }},
            {"Delete",
             [this](const Call& call, Responder reply) {
               tasks_.erase(Read<task_v3::DeleteRequest>(call).id());
               reply.Reply(base::WireWriter().Varint(1, 4242).Take());
             }},
            {"Connect",
             [](const Call&, Responder reply) {
               reply.Reply(base::WireWriter().Varint(1, static_cast<uint64_t>(::getpid())).Take());
             }},
            {"Shutdown", [this](const Call&, Responder reply) {
               reply.Reply(std::string());
               if (tasks_.empty()) Leave();
             }}};
  }

  std::string ExitMessage() const {
    sandbox_v1::WaitSandboxResponse response;
    response.set_exit_status(kExitStatus);
    SetNow(response.mutable_exited_at());
    return response.SerializeAsString();
  }
  void Leave() {
    if (stays_) return;
    ::unlink(socket_.c_str());
    server_.Drain([this] { loop_.Stop(); });
  }

  base::EventLoop& loop_;
  const std::string socket_;
  ttrpc::Server server_;
  std::string id_, netns_;
  bool ready_ = false, stopped_ = false, stays_ = false;
  std::vector<Responder> waiters_;
  std::map<std::string, containerd::v1::types::Status> tasks_;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}

int Serve(base::UniqueFd listener, const std::string& socket) {
  auto loop = base::EventLoop::Create();
  if (!loop.ok()) return 1;
  Shim shim(**loop, socket);
  if (!shim.Listen(std::move(listener)).ok()) return 1;
  (*loop)->Run();
  return 0;
}

int ServeGrpc(base::UniqueFd listener, const std::string& socket) {
  const std::string inner = socket + ".inner";
  auto inner_listener = ttrpc::ListenUnix(inner);
  auto thread = base::EventLoopThread::Create();
  if (!inner_listener.ok() || !thread.ok()) return 1;
  auto client = ttrpc::Client::Connect((*thread)->loop(), inner, absl::InfiniteFuture());
  if (!client.ok()) return 1;
  const GrpcBridge bridge(client->get(), std::move(listener));
  return Serve(*std::move(inner_listener), socket);
}

int Start(bool over_grpc) {
  (void)base::ReadAll(STDIN_FILENO, "stdin");  // What the daemon says of itself.
  // In the bundle, with which it goes.
  const std::string socket = std::filesystem::current_path().string() + "/s";
  auto listener = ttrpc::ListenUnix(socket);
  if (!listener.ok()) return Fail(listener.status());
  if (::fork() == 0) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
    ::_exit(over_grpc ? ServeGrpc(*std::move(listener), socket)
                      : Serve(*std::move(listener), socket));
  }
  std::printf(R"({"version":3,"address":"%s%s","protocol":"%s"})", over_grpc ? "" : "unix://",
              socket.c_str(), over_grpc ? "grpc" : "ttrpc");
  return 0;
}

}  // namespace
}  // namespace ctrd::runtime

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const char* const action = argc > 1 ? argv[argc - 1] : "";
  // Nothing of a task outlives this shim: there is nothing to delete.
  const bool over_grpc = std::string_view(argv[0]).ends_with("grpc");
  return std::strcmp(action, "start") == 0 ? ctrd::runtime::Start(over_grpc) : 0;
}
