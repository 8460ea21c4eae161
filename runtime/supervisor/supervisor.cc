// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/supervisor.h"

#include <signal.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/time.h"
#include "runtime/supervisor/shim_messages.h"

namespace ctrd::runtime {
namespace {

// Gathers the answers of calls that run at the same time.
struct Gathering {
  explicit Gathering(size_t count) : missing(count), answers(count, ttrpc::ClosedError()) {}
  std::mutex mutex;
  std::condition_variable complete;
  size_t missing;
  std::vector<absl::StatusOr<std::string>> answers;
};

// From the registration of an exec, or its start, until the runtime has it in its cgroup.
constexpr absl::Duration kExecLead = absl::Milliseconds(50);

std::string TaskRequest(std::string_view id) { return ProcessRequest(id, ""); }

void SetAny(const base::Any& from, google::protobuf::Any* to) {
  to->set_type_url(from.type_url);
  to->set_value(from.value);
}

// What a caller of State may tell apart; everything else is a state we do not know.
bool TellsWhy(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsUnavailable(status) ||
         absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
}

}  // namespace

Supervisor::Supervisor(SupervisorOptions options)
    : options_(std::move(options)),
      timeouts_(options_.timeouts),
      bundles_(options_.state_dir, options_.root_dir),
      resolver_(options_.shims.daemon_binary.substr(
          0,
          std::min(options_.shims.daemon_binary.size(), options_.shims.daemon_binary.rfind('/')))),
      commands_(options_.shims) {}

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Open(SupervisorOptions options) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor(std::move(options)));
  ASSIGN_OR_RETURN(supervisor->loop_, base::EventLoopThread::Create());
  RETURN_IF_ERROR(base::MakeDirectories(supervisor->options_.state_dir, 0711));
  RETURN_IF_ERROR(base::MakeDirectories(supervisor->options_.root_dir, 0711));
  ASSIGN_OR_RETURN(const std::vector<Bundle> bundles, supervisor->bundles_.List());
  for (const Bundle& bundle : bundles) {
    auto task = std::make_shared<Task>();
    task->bundle = bundle;
    supervisor->table_.AddAdopting(task);
    supervisor->found_.push_back(std::move(task));
  }
  supervisor->operations_.OnBusy([loop = supervisor->loop_->loop(), s = supervisor.get()] {
    loop->Post([s] { s->WatchOperations(); });
  });
  return supervisor;
}

Supervisor::~Supervisor() {
  stopping_ = true;
  found_.clear();
  // Clients end before the loop they live on; work that is queued holds tasks, and so clients.
  table_.TakeAll().clear();
  finding_.Stop();
  queue_.Stop();
  leaving_.Stop();
}

absl::StatusOr<TaskPtr> Supervisor::Find(const base::Context& context, std::string_view id) {
  return table_.Find(context.namespace_name(), id,
                     context.WithTimeout(timeouts_.shim_load).deadline());
}

// On the loop. Runs only while there is something to watch.
void Supervisor::WatchOperations() {
  if (stopping_) return;  // The loop is about to go.
  (void)loop_->loop()->After(timeouts_.slow, [this] {
    if (operations_.LogSlow(timeouts_.slow)) WatchOperations();
  });
}

absl::Duration Supervisor::LimitOf(std::string_view method) const {
  const bool may_be_long = method == "Create" || method == "Start" || method == "Checkpoint";
  return may_be_long ? timeouts_.long_call : timeouts_.call;
}

absl::StatusOr<std::string> Supervisor::Ask(const base::Context& context, std::string_view id,
                                            std::string_view exec_id, std::string_view method,
                                            std::string request) {
  const Operations::Watch watch(operations_,
                                {.method = std::string(method),
                                 .namespace_name = context.namespace_name(),
                                 .id = std::string(id),
                                 .exec_id = std::string(exec_id)},
                                "answer of the shim");
  ASSIGN_OR_RETURN(const TaskPtr task, Find(context, id));
  return task->shim()->CallAndWait(context.WithTimeout(LimitOf(method)), method,
                                   std::move(request));
}

std::vector<absl::StatusOr<std::string>> Supervisor::AskAll(
    const std::vector<TaskPtr>& tasks, std::string_view method,
    const std::function<std::string(const Task&)>& request, absl::Duration budget) {
  const auto gathering = std::make_shared<Gathering>(tasks.size());
  const absl::Time now = absl::Now(), deadline = now + budget;
  for (size_t i = 0; i < tasks.size(); ++i) {
    // It has kept somebody waiting already.
    const absl::Time limit = tasks[i]->suspected ? now + timeouts_.suspected : deadline;
    tasks[i]->shim()->Call(method, request(*tasks[i]), std::min(limit, deadline),
                           [gathering, i](absl::StatusOr<std::string> answer) {
                             const std::scoped_lock lock(gathering->mutex);
                             gathering->answers[i] = std::move(answer);
                             if (--gathering->missing == 0) gathering->complete.notify_one();
                           });
  }
  // Every call ends by its deadline.
  std::unique_lock lock(gathering->mutex);
  gathering->complete.wait(lock, [&] { return gathering->missing == 0; });
  return std::move(gathering->answers);
}

absl::StatusOr<uint32_t> Supervisor::Start(const base::Context& context, std::string_view id,
                                           std::string_view exec_id) {
  if (!exec_id.empty()) lead_.Take(kExecLead);
  const OperationName name{"Start", context.namespace_name(), std::string(id),
                           std::string(exec_id)};
  ASSIGN_OR_RETURN(const std::string answer,
                   operations_.Join(context, name, "", [&](const Operations::Handle& operation) {
                     operation.Stage("its shim to be found");
                     const auto task = Find(context, id);
                     if (!task.ok()) return operation.End(task.status(), !context.Check().ok());
                     operation.Stage("answer of the shim");
                     (*task)->shim()->Call("Start", ProcessRequest(id, exec_id),
                                           absl::Now() + LimitOf("Start"),
                                           [operation](absl::StatusOr<std::string> started) {
                                             operation.End(std::move(started));
                                           });
                   }));
  ASSIGN_OR_RETURN(const auto started, Parse<task_v3::StartResponse>(answer));
  return started.pid();
}

absl::StatusOr<Exit> Supervisor::DeleteProcess(const base::Context& context, std::string_view id,
                                               std::string_view exec_id) {
  // The shim would take it for the first process, and delete the task behind our back.
  if (exec_id.empty()) return absl::InvalidArgumentError("exec id cannot be empty");
  ASSIGN_OR_RETURN(const std::string answer,
                   Ask(context, id, exec_id, "Delete", ProcessRequest(id, exec_id)));
  return ParseDelete(answer);
}

absl::StatusOr<ProcessState> Supervisor::State(const base::Context& context, std::string_view id,
                                               std::string_view exec_id) {
  const base::Context limited = context.WithTimeout(timeouts_.task_state);
  auto answer = Ask(limited, id, exec_id, "State", ProcessRequest(id, exec_id));
  if (answer.ok()) {
    ASSIGN_OR_RETURN(const auto state, Parse<task_v3::StateResponse>(*answer));
    return ProcessOf(state);
  }
  if (ttrpc::IsClosedError(answer.status())) return TaskNotFound(id);
  // In our time, not in that of an impatient caller.
  if (absl::IsDeadlineExceeded(answer.status()) && limited.deadline() < context.deadline()) {
    if (const TaskPtr task = table_.Peek(context.namespace_name(), id)) Suspect(task);
  }
  if (TellsWhy(answer.status())) return answer.status();
  return ProcessState{.id = std::string(exec_id.empty() ? id : exec_id),
                      .exit = {.at = base::ZeroTime()}};
}

absl::StatusOr<std::vector<ProcessState>> Supervisor::List(const base::Context& context) {
  const absl::Time began = absl::Now();
  std::vector<TaskPtr> tasks = table_.List(context.namespace_name(), began + timeouts_.task_state);
  std::vector<ProcessState> states;
  std::erase_if(tasks, [&](const TaskPtr& task) {
    auto state = task->StateSince(began);
    if (state) states.push_back(*std::move(state));
    return state.has_value();
  });
  const auto answers = AskAll(
      tasks, "State", [](const Task& task) { return TaskRequest(task.bundle.id); },
      timeouts_.task_state);
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (answers[i].ok()) {
      const auto state = Parse<task_v3::StateResponse>(*answers[i]);
      if (state.ok()) states.push_back(ProcessOf(*state));
    } else if (!TellsWhy(answers[i].status()) && !ttrpc::IsClosedError(answers[i].status())) {
      states.push_back({.id = tasks[i]->bundle.id, .exit = {.at = base::ZeroTime()}});
    } else if (absl::IsDeadlineExceeded(answers[i].status())) {
      base::LogWarn("shim does not answer, leaving its task out of the list",
                    {{"id", tasks[i]->bundle.id}, {"namespace", context.namespace_name()}});
      Suspect(tasks[i]);
    }
  }
  return states;
}

absl::Status Supervisor::Kill(const base::Context& context, std::string_view id,
                              std::string_view exec_id, uint32_t signal, bool all) {
  task_v3::KillRequest request;
  request.set_id(std::string(id));
  request.set_exec_id(std::string(exec_id));
  request.set_signal(signal);
  request.set_all(all);
  if (const uint32_t real_time = static_cast<uint32_t>(SIGRTMIN); signal >= real_time) {
    // Each of these counts. The others are one to the kernel too while they are on their way.
    return Ask(context, id, exec_id, "Kill", request.SerializeAsString()).status();
  }
  const OperationName name{"Kill", context.namespace_name(), std::string(id), std::string(exec_id)};
  const std::string bytes = request.SerializeAsString();
  return operations_
      .Join(context, name, bytes,
            [&](const Operations::Handle& operation) {
              operation.Stage("its shim to be found");
              const auto task = Find(context, id);
              if (!task.ok()) return operation.End(task.status(), !context.Check().ok());
              operation.Stage("answer of the shim");
              (*task)->shim()->Call("Kill", bytes, absl::Now() + LimitOf("Kill"),
                                    [operation](absl::StatusOr<std::string> killed) {
                                      operation.End(std::move(killed));
                                    });
            })
      .status();
}

absl::Status Supervisor::Exec(const base::Context& context, std::string_view id,
                              const ExecProcess& process) {
  lead_.Take(kExecLead);  // It is started next.
  task_v3::ExecProcessRequest request;
  request.set_id(std::string(id));
  request.set_exec_id(process.exec_id);
  request.set_terminal(process.stdio.terminal);
  request.set_stdin(process.stdio.stdin_path);
  request.set_stdout(process.stdio.stdout_path);
  request.set_stderr(process.stdio.stderr_path);
  if (!process.spec.empty()) SetAny(process.spec, request.mutable_spec());
  return Ask(context, id, process.exec_id, "Exec", request.SerializeAsString()).status();
}

absl::Status Supervisor::ResizePty(const base::Context& context, std::string_view id,
                                   std::string_view exec_id, uint32_t width, uint32_t height) {
  task_v3::ResizePtyRequest request;
  request.set_id(std::string(id));
  request.set_exec_id(std::string(exec_id));
  request.set_width(width);
  request.set_height(height);
  return Ask(context, id, exec_id, "ResizePty", request.SerializeAsString()).status();
}

absl::Status Supervisor::CloseIo(const base::Context& context, std::string_view id,
                                 std::string_view exec_id, bool close_stdin) {
  task_v3::CloseIORequest request;
  request.set_id(std::string(id));
  request.set_exec_id(std::string(exec_id));
  request.set_stdin(close_stdin);
  const absl::Status closed =
      Ask(context, id, exec_id, "CloseIO", request.SerializeAsString()).status();
  // Shims of 1.6 do not say in a code that there is no such process.
  if (absl::IsUnknown(closed)) RETURN_IF_ERROR(State(context, id, exec_id).status());
  return closed;
}

absl::Status Supervisor::Pause(const base::Context& context, std::string_view id) {
  return Ask(context, id, "", "Pause", TaskRequest(id)).status();
}

absl::Status Supervisor::Resume(const base::Context& context, std::string_view id) {
  return Ask(context, id, "", "Resume", TaskRequest(id)).status();
}

absl::StatusOr<std::vector<ProcessInfo>> Supervisor::Pids(const base::Context& context,
                                                          std::string_view id) {
  ASSIGN_OR_RETURN(const std::string answer, Ask(context, id, "", "Pids", TaskRequest(id)));
  ASSIGN_OR_RETURN(const auto pids, Parse<task_v3::PidsResponse>(answer));
  std::vector<ProcessInfo> processes;
  for (const auto& process : pids.processes()) {
    processes.push_back(
        {.pid = process.pid(),
         .info = {.type_url = process.info().type_url(), .value = process.info().value()}});
  }
  return processes;
}

absl::Status Supervisor::Update(const base::Context& context, std::string_view id,
                                const base::Any& resources,
                                const std::map<std::string, std::string>& annotations) {
  task_v3::UpdateTaskRequest request;
  request.set_id(std::string(id));
  SetAny(resources, request.mutable_resources());
  for (const auto& [key, value] : annotations) (*request.mutable_annotations())[key] = value;
  return Ask(context, id, "", "Update", request.SerializeAsString()).status();
}

absl::Status Supervisor::Checkpoint(const base::Context& context, std::string_view id,
                                    const std::string& path, const base::Any& options) {
  task_v3::CheckpointTaskRequest request;
  request.set_id(std::string(id));
  request.set_path(path);
  if (!options.empty()) SetAny(options, request.mutable_options());
  return Ask(context, id, "", "Checkpoint", request.SerializeAsString()).status();
}

absl::StatusOr<std::string> Supervisor::RootfsPath(const base::Context& context,
                                                   std::string_view id) {
  ASSIGN_OR_RETURN(const TaskPtr task, Find(context, id));
  return task->bundle.File("rootfs");
}

absl::StatusOr<std::vector<TaskStatistics>> Supervisor::Statistics(
    const base::Context& context, const std::function<bool(std::string_view id)>& wanted) {
  std::vector<TaskPtr> tasks =
      table_.List(context.namespace_name(), absl::Now() + timeouts_.statistics);
  std::erase_if(tasks, [&](const TaskPtr& task) { return !wanted(task->bundle.id); });
  const auto answers = AskAll(
      tasks, "Stats", [](const Task& task) { return TaskRequest(task.bundle.id); },
      timeouts_.statistics);
  std::vector<TaskStatistics> statistics;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const auto stats = answers[i].ok()
                           ? Parse<task_v3::StatsResponse>(*answers[i])
                           : absl::StatusOr<task_v3::StatsResponse>(answers[i].status());
    if (stats.ok()) {
      statistics.push_back(
          {.id = tasks[i]->bundle.id,
           .timestamp = absl::Now(),
           .data = {.type_url = stats->stats().type_url(), .value = stats->stats().value()}});
    } else if (!absl::IsNotFound(stats.status())) {
      base::LogWarn("statistics of a task are missing",
                    {{"id", tasks[i]->bundle.id}, {"error", stats.status()}});
    }
  }
  return statistics;
}

absl::StatusOr<base::Any> Supervisor::RuntimeInfo(const base::Context& context,
                                                  const std::string& runtime,
                                                  const base::Any& options) {
  ASSIGN_OR_RETURN(const std::string binary, resolver_.Resolve(runtime));
  ASSIGN_OR_RETURN(
      std::string info,
      commands_.Info(binary, options, context.WithTimeout(timeouts_.shim_load).deadline()));
  return base::Any{.type_url = "containerd.types.RuntimeInfo", .value = std::move(info)};
}

void Supervisor::Report(base::MetricSink& sink) const {
  sink.AddCounter("containerd_shims_adopted_total", "Shims found again after a restart.",
                  adopted_.value());
  sink.AddCounter("containerd_shims_quarantined_total", "Shims that did not answer as one.",
                  quarantined_.value());
  sink.AddCounter("containerd_shims_released_total", "Shims that answered again.",
                  released_.value());
  sink.AddCounter("containerd_shims_died_total", "Shims that ended before their task.",
                  died_.value());
  sink.AddCounter("containerd_shims_killed_total", "Shims that did not leave when told to.",
                  killed_.value());
  sink.AddGauge("containerd_shims_in_quarantine", "Shims that do not answer now.",
                static_cast<int64_t>(table_.CountQuarantined()));
  sink.AddGauge("containerd_tasks_operations", "Operations on tasks that are running.",
                static_cast<int64_t>(operations_.List().size()));
}

}  // namespace ctrd::runtime
