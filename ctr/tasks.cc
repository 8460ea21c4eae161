// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <optional>

#include "base/identifiers.h"
#include "ctr/checkpoint.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/container_create.h"
#include "ctr/output.h"
#include "ctr/task.h"
#include "ctr/task_flags.h"
#include "ctr/task_metrics.h"
#include "runtime/spec/spec.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::tasks::v1;
using containerd::services::containers::v1::Container;
using containerd::v1::types::Process;

constexpr char kStopSignalLabel[] = "io.containerd.image.config.stop-signal";

absl::Status NeedContainer(const Invocation& invocation) {
  return invocation.Argument(0).empty() ? base::Unknown("container id must be provided")
                                        : absl::OkStatus();
}

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::List, api::ListTasksRequest()));
  Table table(Table::kWide);
  if (!invocation.Switch("quiet")) table.Row({"TASK", "PID", "STATUS"});
  for (const Process& task : response.tasks()) {
    // Daemons put a task's id into one field, those of 1.6 also into the other.
    const std::string id = task.id().empty() ? task.container_id() : task.id();
    if (invocation.Switch("quiet")) {
      PrintLine(id);
    } else {
      table.Write(fmt::format("{}\t{}\t{}\n", id, task.pid(),
                              containerd::v1::types::Status_Name(task.status())));
    }
  }
  table.Print();
  return absl::OkStatus();
}

absl::Status Start(Invocation& invocation) {
  RETURN_IF_ERROR(NeedContainer(invocation));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const Container container, GetContainer(client, invocation.Argument(0)));
  std::optional<containerd::runc::v1::Options> options;
  if (invocation.Switch("no-pivot")) options.emplace().set_no_pivot_root(true);
  return StartTask(invocation, client, container, options ? &*options : nullptr);
}

// The process of an exec: the container's, with other arguments.
absl::StatusOr<std::string> ExecSpec(const Invocation& invocation, const Client& client,
                                     const Container& container) {
  ASSIGN_OR_RETURN(const runtime::Spec spec, runtime::Spec::Parse(container.spec().value()));
  runtime::ExecProcess process{.arguments = invocation.ArgumentsFrom(1),
                               .terminal = invocation.Switch("tty"),
                               .working_directory = invocation.Text("cwd"),
                               .user = std::nullopt};
  if (const std::string user = invocation.Text("user"); !user.empty()) {
    const runtime::AccountFileReader reader =
        container.snapshot_key().empty()
            ? runtime::ReadAccountFilesBelow(spec.RootPath())
            : ReadAccountFilesOfSnapshot(client, container.snapshotter(), container.snapshot_key());
    ASSIGN_OR_RETURN(process.user,
                     runtime::ResolveUser(user, runtime::Memberships::kOfGivenText, reader));
  }
  return spec.ExecProcessJson(process);
}

absl::Status RunExec(Invocation& invocation, const Client& client, const ProcessId& id,
                     TaskIo& io) {
  if (invocation.Switch("detach")) {
    io.Keep();
    return StartProcess(client, id).status();
  }
  ASSIGN_OR_RETURN(const uint32_t code, RunAttached(client, id, io, /*start=*/true));
  RETURN_IF_ERROR(DeleteProcess(client, id).status());
  invocation.ExitWith(static_cast<int>(code));
  return absl::OkStatus();
}

absl::Status Exec(Invocation& invocation) {
  RETURN_IF_ERROR(NeedContainer(invocation));
  const bool terminal = invocation.Switch("tty");
  if (!invocation.Text("log-uri").empty() && (terminal || !invocation.Text("fifo-dir").empty())) {
    return base::Unknown("can't use log-uri with tty or fifo-dir");
  }
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const Container container, GetContainer(client, invocation.Argument(0)));
  ASSIGN_OR_RETURN(const std::string spec, ExecSpec(invocation, client, container));
  RETURN_IF_ERROR(GetTask(client, container.id()).status());
  std::optional<RawTerminal> raw;
  if (terminal && !invocation.Switch("detach")) {
    ASSIGN_OR_RETURN(RawTerminal entered, RawTerminal::Enter());
    raw.emplace(std::move(entered));
  }
  const ProcessId id{container.id(), invocation.Text("exec-id")};
  ASSIGN_OR_RETURN(const auto io,
                   TaskIo::Create(id.exec_id, {.terminal = terminal,
                                               .null_io = false,
                                               .log_uri = invocation.Text("log-uri"),
                                               .fifo_directory = invocation.Text("fifo-dir")}));
  api::ExecProcessRequest request;
  request.set_container_id(id.container_id);
  request.set_exec_id(id.exec_id);
  request.set_terminal(terminal);
  request.set_stdin(io->paths().input);
  request.set_stdout(io->paths().output);
  request.set_stderr(io->paths().error);
  request.mutable_spec()->set_type_url(std::string(runtime::kProcessTypeUrl));
  request.mutable_spec()->set_value(spec);
  RETURN_IF_ERROR(client.Call(&TasksStub::Exec, request).status());
  const absl::Status status = RunExec(invocation, client, id, *io);
  if (!status.ok()) (void)DeleteProcess(client, id);  // It never ran; the first error counts.
  return status;
}

absl::Status Attach(Invocation& invocation) {
  RETURN_IF_ERROR(NeedContainer(invocation));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const Container container, GetContainer(client, invocation.Argument(0)));
  ASSIGN_OR_RETURN(const Process task, GetTask(client, container.id()));
  std::optional<RawTerminal> raw;
  if (task.terminal()) {
    ASSIGN_OR_RETURN(RawTerminal entered, RawTerminal::Enter());
    raw.emplace(std::move(entered));
  }
  ASSIGN_OR_RETURN(const auto io,
                   TaskIo::Attach({task.stdin(), task.stdout(), task.stderr()}, task.terminal()));
  ASSIGN_OR_RETURN(const uint32_t code,
                   RunAttached(client, {container.id(), ""}, *io, /*start=*/false));
  RETURN_IF_ERROR(DeleteTask(client, container.id(), /*force=*/true).status());
  invocation.ExitWith(static_cast<int>(code));
  return absl::OkStatus();
}

absl::Status Kill(Invocation& invocation) {
  RETURN_IF_ERROR(NeedContainer(invocation));
  const std::string exec_id = invocation.Text("exec-id");
  if (invocation.Switch("all") && !exec_id.empty()) {
    return base::Unknown("specify an exec-id or all; not both");
  }
  std::string signal = invocation.Text("signal");
  if (!signal.empty()) RETURN_IF_ERROR(ParseSignal(signal).status());
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const Container container, GetContainer(client, invocation.Argument(0)));
  if (signal.empty()) {
    const auto label = container.labels().find(kStopSignalLabel);
    signal = label == container.labels().end() ? "SIGTERM" : label->second;
  }
  ASSIGN_OR_RETURN(const uint32_t number, ParseSignal(signal));
  RETURN_IF_ERROR(GetTask(client, container.id()).status());
  return KillProcess(client, {container.id(), exec_id}, number, invocation.Switch("all"));
}

absl::Status DeleteExec(Invocation& invocation, const Client& client) {
  const std::string id = invocation.Argument(0);
  RETURN_IF_ERROR(GetContainer(client, id).status());
  RETURN_IF_ERROR(GetTask(client, id).status());
  ASSIGN_OR_RETURN(const uint32_t code, DeleteProcess(client, {id, invocation.Text("exec-id")}));
  invocation.ExitWith(static_cast<int>(code));
  return absl::OkStatus();
}

absl::Status Delete(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  if (!invocation.Text("exec-id").empty()) return DeleteExec(invocation, client);
  absl::Status first_error;
  for (const std::string& id : invocation.arguments()) {
    absl::Status status = GetContainer(client, id).status();
    if (status.ok()) status = GetTask(client, id).status();
    if (!status.ok()) {
      LogError("failed to load task from " + id, status);
      if (first_error.ok()) first_error = status;
      continue;
    }
    const auto code = DeleteTask(client, id, invocation.Switch("force"));
    if (!code.ok()) {
      LogError("unable to delete " + id, code.status());
      if (first_error.ok()) first_error = code.status();
    } else if (*code != 0) {
      LogWarning(fmt::format("task {} exit with non-zero exit code {}", id, *code));
    }
  }
  return first_error;
}

std::string DetailsOf(const containerd::v1::types::ProcessInfo& process) {
  if (!process.has_info()) return "-";
  containerd::runc::v1::ProcessDetails details;
  const std::string& type = process.info().type_url();
  if (type.substr(type.rfind('/') + 1) != details.GetTypeName() ||
      !details.ParseFromString(process.info().value())) {
    return type;
  }
  // The text users of ctr know: a Go structure as that language prints it.
  return "&ProcessDetails{ExecID:" + details.exec_id() + ",XXX_unrecognized:[],}";
}

absl::Status ListProcesses(Invocation& invocation) {
  RETURN_IF_ERROR(NeedContainer(invocation));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  RETURN_IF_ERROR(GetContainer(client, invocation.Argument(0)).status());
  RETURN_IF_ERROR(GetTask(client, invocation.Argument(0)).status());
  api::ListPidsRequest request;
  request.set_container_id(invocation.Argument(0));
  ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::ListPids, request));
  Table table(Table::kWide);
  table.Write("PID\tINFO\n");
  for (const auto& process : response.processes()) {
    table.Write(fmt::format("{}\t{}\n", process.pid(), DetailsOf(process)));
  }
  table.Print();
  return absl::OkStatus();
}

template <typename Request, typename Method>
Action OnTask(Method method) {
  return [method](Invocation& invocation) -> absl::Status {
    RETURN_IF_ERROR(NeedContainer(invocation));
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
    RETURN_IF_ERROR(GetContainer(client, invocation.Argument(0)).status());
    RETURN_IF_ERROR(GetTask(client, invocation.Argument(0)).status());
    Request request;
    request.set_container_id(invocation.Argument(0));
    return client.Call(method, request).status();
  };
}

absl::Status Metrics(Invocation& invocation) {
  RETURN_IF_ERROR(NeedContainer(invocation));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  const std::string id = invocation.Argument(0);
  RETURN_IF_ERROR(GetContainer(client, id).status());
  RETURN_IF_ERROR(GetTask(client, id).status());
  api::MetricsRequest request;
  request.add_filters("id==" + id);
  ASSIGN_OR_RETURN(const auto response, client.Call(&TasksStub::Metrics, request));
  if (response.metrics().empty()) return base::Unknown("no metrics received");
  return PrintMetrics(response.metrics(0), invocation.Text("format"));
}

}  // namespace

Command TasksCommand() {
  Command start{.names = "start",
                .summary = "start a container that exists",
                .arguments = "CONTAINER",
                .action = Start};
  start.flags = Join({StartFlags(),
                      {{FlagKind::kText, "pid-file", "file that gets the task's pid"},
                       {FlagKind::kSwitch, "no-pivot", "do not use pivot_root"}}});
  Command exec{.names = "exec",
               .summary = "run another process in a container",
               .arguments = "[flags] CONTAINER CMD [ARG...]",
               .action = Exec};
  exec.flags = {{FlagKind::kText, "cwd", "working directory of the process"},
                {FlagKind::kSwitch, "tty,t", "give the process a terminal"},
                {FlagKind::kSwitch, "detach,d", "do not wait for the end"},
                {FlagKind::kText, "exec-id", "name of the process", "", "", /*required=*/true},
                {FlagKind::kText, "fifo-dir", "directory for FIFOs"},
                {FlagKind::kText, "log-uri", "where the shim writes the output"},
                {FlagKind::kText, "user", "user[:group] of the process"}};
  Command kill{.names = "kill",
               .summary = "send a signal to a container (default: SIGTERM)",
               .arguments = "[flags] CONTAINER",
               .action = Kill};
  kill.flags = {{FlagKind::kText, "signal,s", "the signal"},
                {FlagKind::kText, "exec-id", "send it to this process"},
                {FlagKind::kSwitch, "all,a", "send it to all processes"}};
  Command remove{.names = "delete,del,remove,rm",
                 .summary = "delete tasks",
                 .arguments = "CONTAINER [CONTAINER, ...]",
                 .action = Delete};
  remove.flags = {{FlagKind::kSwitch, "force,f", "kill it first"},
                  {FlagKind::kText, "exec-id", "delete this process"}};
  Command metrics{.names = "metrics,metric",
                  .summary = "show what a task uses",
                  .arguments = "CONTAINER",
                  .action = Metrics};
  metrics.flags = {{FlagKind::kText, "format", "table or json", "table"}};
  Command group{.names = "tasks,t,task", .summary = "manage tasks"};
  group.commands = {
      {.names = "attach",
       .summary = "connect to the streams of a task",
       .arguments = "CONTAINER",
       .action = Attach},
      TaskCheckpointCommand(),
      remove,
      exec,
      {.names = "list,ls",
       .summary = "list tasks",
       .arguments = "[flags]",
       .flags = {QuietFlag("the ids")},
       .action = List},
      kill,
      {.names = "pause",
       .summary = "freeze a container",
       .arguments = "CONTAINER",
       .action = OnTask<api::PauseTaskRequest>(&TasksStub::Pause)},
      {.names = "ps",
       .summary = "list the processes of a container",
       .arguments = "CONTAINER",
       .action = ListProcesses},
      {.names = "resume",
       .summary = "let a frozen container go on",
       .arguments = "CONTAINER",
       .action = OnTask<api::ResumeTaskRequest>(&TasksStub::Resume)},
      start,
      metrics,
  };
  return group;
}

}  // namespace ctrd::ctr
