// SPDX-License-Identifier: Apache-2.0
// A shim spoken to directly, past the daemon: for looking at one that its daemon has lost.
#include <cstdio>

#include "absl/time/clock.h"
#include "base/digest.h"
#include "base/event_loop.h"
#include "base/json.h"
#include "base/status.h"
#include "ctr/commands.h"
#include "ctr/flag_values.h"
#include "ctr/output.h"
#include "ctr/task_io.h"
#include "runtime/spec/spec.h"
#include "runtime/task/v3/shim.pb.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::task::v3;
namespace ttrpc = runtime::ttrpc;

constexpr char kSocketDirectory[] = "/run/containerd/s/";
constexpr absl::Duration kAnswers = absl::Seconds(60);
constexpr absl::Duration kDrain = absl::Seconds(10);

// The connection to one shim. Versions 2 and 3 of its API have the same messages.
class Shim {
 public:
  static absl::StatusOr<Shim> Connect(const Invocation& invocation) {
    const std::string id = invocation.Text("id");
    if (id.empty()) return base::Unknown("container id must be specified");
    Shim shim;
    shim.id_ = id;
    shim.namespace_ = invocation.Text("namespace");
    if (invocation.Declares("api-version") && invocation.Integer("api-version") == 2) {
      shim.service_ = "containerd.task.v2.Task";
    }
    ASSIGN_OR_RETURN(shim.thread_, base::EventLoopThread::Create());
    for (const std::string& address : shim.Addresses(invocation)) {
      auto client = ttrpc::Client::Connect(shim.thread_->loop(), address, absl::Now() + kAnswers);
      if (!client.ok()) continue;
      shim.client_ = *std::move(client);
      return shim;
    }
    return base::Unknown("fail to connect to container {}'s shim", id);
  }

  const std::string& id() const { return id_; }

  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(std::string_view method, const Request& request,
                                absl::Duration limit = kAnswers) const {
    const ttrpc::Response answer = client_->CallAndWait(
        ttrpc::MakeRequest(service_, method, request.SerializeAsString(), namespace_),
        absl::Now() + limit);
    RETURN_IF_ERROR(answer.status());
    Response response;
    if (!response.ParseFromString(*answer)) {
      return base::Unknown("the answer to {} is not readable", method);
    }
    return response;
  }

 private:
  // Where shims listen: by the address of their daemon, their namespace and their id.
  std::vector<std::string> Addresses(const Invocation& invocation) const {
    if (const std::string given = invocation.Text("shim-address"); !given.empty()) return {given};
    const std::string path = invocation.Text("address") + "/" + namespace_ + "/" + id_;
    return {"unix://" + std::string(kSocketDirectory) + std::string(base::Digest::Of(path).hex()),
            "/containerd-shim/" + namespace_ + "/" + id_ + "/shim.sock"};
  }

  std::string id_, namespace_;
  std::string service_ = "containerd.task.v3.Task";
  // The loop outlives its client.
  std::unique_ptr<base::EventLoopThread> thread_;
  std::unique_ptr<ttrpc::Client> client_;
};

struct Nothing {
  bool ParseFromString(const std::string& bytes) const { return bytes.empty(); }
};

absl::Status State(Invocation& invocation) {
  ASSIGN_OR_RETURN(const Shim shim, Shim::Connect(invocation));
  api::StateRequest request;
  const std::string task = invocation.Text("task-id");
  request.set_id(task.empty() ? shim.id() : task);
  ASSIGN_OR_RETURN(const auto state, shim.Call<api::StateResponse>("State", request));
  PrintJson(ToJson(state));
  return absl::OkStatus();
}

absl::Status Delete(Invocation& invocation) {
  ASSIGN_OR_RETURN(const Shim shim, Shim::Connect(invocation));
  api::DeleteRequest request;
  request.set_id(shim.id());
  ASSIGN_OR_RETURN(const auto deleted, shim.Call<api::DeleteResponse>("Delete", request));
  PrintLine(fmt::format("container deleted and returned exit status {}", deleted.exit_status()));
  return absl::OkStatus();
}

absl::Status Start(Invocation& invocation) {
  ASSIGN_OR_RETURN(const Shim shim, Shim::Connect(invocation));
  api::StartRequest request;
  request.set_id(shim.id());
  return shim.Call<api::StartResponse>("Start", request).status();
}

absl::Status Shutdown(Invocation& invocation) {
  ASSIGN_OR_RETURN(const Shim shim, Shim::Connect(invocation));
  api::ShutdownRequest request;
  request.set_id(shim.id());
  const absl::Status status = shim.Call<Nothing>("Shutdown", request).status();
  return ttrpc::IsClosedError(status) ? absl::OkStatus() : status;  // It is gone already.
}

// The process that the flags describe, or that of the file --spec.
absl::StatusOr<std::string> ProcessOf(const Invocation& invocation) {
  if (const std::string file = invocation.Text("spec"); !file.empty()) return ReadGivenFile(file);
  const std::vector<std::string> arguments = invocation.ArgumentsFrom(1);
  if (arguments.empty()) return base::Unknown("args must be provided");
  Json process{{"user", {{"uid", 0}, {"gid", 0}}},
               {"args", arguments},
               {"env", invocation.List("env")},
               {"cwd", invocation.Text("cwd").empty() ? "/" : invocation.Text("cwd")},
               {"noNewPrivileges", true}};
  if (invocation.Switch("tty")) process["terminal"] = true;
  return base::DumpJson(process);
}

// Copies the streams until the process ends; its status becomes ours.
absl::Status Follow(Invocation& invocation, const Shim& shim, const api::ExecProcessRequest& exec,
                    TaskIo& io) {
  io.StartInput([&shim, &exec] {
    api::CloseIORequest request;
    request.set_id(exec.id());
    request.set_exec_id(exec.exec_id());
    request.set_stdin(true);
    (void)shim.Call<Nothing>("CloseIO", request);  // The process may be gone: fine.
  });
  api::WaitRequest request;
  request.set_id(exec.id());
  request.set_exec_id(exec.exec_id());
  ASSIGN_OR_RETURN(const auto ended,
                   shim.Call<api::WaitResponse>("Wait", request, absl::InfiniteDuration()));
  io.Drain(kDrain);
  invocation.ExitWith(static_cast<int>(ended.exit_status()));
  return absl::OkStatus();
}

absl::Status Exec(Invocation& invocation) {
  if (invocation.Argument(0).empty()) return base::Unknown("exec id must be provided");
  api::ExecProcessRequest request;
  request.set_exec_id(invocation.Argument(0));
  ASSIGN_OR_RETURN(*request.mutable_spec()->mutable_value(), ProcessOf(invocation));
  request.mutable_spec()->set_type_url(std::string(runtime::kProcessTypeUrl));
  ASSIGN_OR_RETURN(const Shim shim, Shim::Connect(invocation));
  request.set_id(shim.id());
  request.set_terminal(invocation.Switch("tty"));
  request.set_stdin(invocation.Text("stdin"));
  request.set_stdout(invocation.Text("stdout"));
  request.set_stderr(invocation.Text("stderr"));
  std::unique_ptr<TaskIo> io;
  if (invocation.Switch("attach")) {
    ASSIGN_OR_RETURN(io, TaskIo::Attach({request.stdin(), request.stdout(), request.stderr()},
                                        request.terminal()));
    io->Keep();
    io->StartOutput();
  }
  RETURN_IF_ERROR(shim.Call<Nothing>("Exec", request).status());
  api::StartRequest start;
  start.set_id(shim.id());
  start.set_exec_id(request.exec_id());
  ASSIGN_OR_RETURN(const auto started, shim.Call<api::StartResponse>("Start", start));
  PrintLine(fmt::format("exec running with pid {}", started.pid()));
  std::fflush(stdout);  // Before what the process says, which is copied past the buffer.
  return io == nullptr ? absl::OkStatus() : Follow(invocation, shim, request, *io);
}

Flag ApiVersionFlag() {
  return {FlagKind::kInteger, "api-version", "version of the shim's API, 2 or 3", "3"};
}

}  // namespace

Command ShimCommand() {
  Command exec{.names = "exec",
               .summary = "run another process in the shim's container",
               .arguments = "[flags] EXEC-ID CMD [ARG...]",
               .action = Exec};
  exec.flags = {{FlagKind::kText, "stdin", "FIFO of the input"},
                {FlagKind::kText, "stdout", "FIFO of the output"},
                {FlagKind::kText, "stderr", "FIFO of the errors"},
                {FlagKind::kSwitch, "tty,t", "give the process a terminal"},
                {FlagKind::kSwitch, "attach,a", "stay, and copy the FIFOs"},
                {FlagKind::kList, "env,e", "environment variable"},
                {FlagKind::kText, "cwd", "working directory of the process"},
                {FlagKind::kText, "spec", "file with the process's specification"}};
  Command state{.names = "state", .summary = "show the state of a task", .action = State};
  state.flags = {{FlagKind::kText, "task-id,t", "the task, if it is not the shim's first"},
                 ApiVersionFlag()};
  Command group{.names = "shim", .summary = "talk to a shim"};
  group.flags = {{FlagKind::kText, "id", "id of the container"},
                 {FlagKind::kText, "shim-address", "socket of the shim"}};
  group.commands = {
      {.names = "delete", .summary = "delete the task", .action = Delete},
      exec,
      {.names = "start", .summary = "start the task", .action = Start},
      state,
      {.names = "shutdown",
       .summary = "end a shim that has no task",
       .flags = {ApiVersionFlag()},
       .action = Shutdown},
      MissingCommand("pprof", "profiles of a Go shim"),
  };
  return group;
}

}  // namespace ctrd::ctr
