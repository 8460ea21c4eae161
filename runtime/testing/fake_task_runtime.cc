// SPDX-License-Identifier: Apache-2.0
#include "runtime/testing/fake_task_runtime.h"

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/time.h"

namespace ctrd::runtime {

CreateTask FakeTaskRuntime::last_create() const {
  const std::scoped_lock lock(mutex_);
  return last_create_;
}

void FakeTaskRuntime::End(const std::string& namespace_name, const std::string& id,
                          uint32_t status) {
  std::vector<std::weak_ptr<Waiter>> waiters;
  Exit exit;
  {
    const std::scoped_lock lock(mutex_);
    Task& task = tasks_.at({namespace_name, id});
    task.state.state = TaskState::kStopped;
    task.state.exit = {.pid = task.state.pid, .status = status, .at = absl::Now()};
    exit = task.state.exit;
    waiters.swap(task.waiters);
  }
  for (const auto& weak : waiters) {
    if (const auto waiter = weak.lock()) waiter->Finish(exit);
  }
}

bool FakeTaskRuntime::AwaitWaiters(const std::string& namespace_name, const std::string& id,
                                   size_t count) {
  std::unique_lock lock(mutex_);
  return waited_.wait_for(lock, std::chrono::seconds(120), [&] {
    return tasks_.at({namespace_name, id}).waiters.size() >= count;
  });
}

absl::StatusOr<FakeTaskRuntime::Task*> FakeTaskRuntime::Find(const base::Context& context,
                                                             std::string_view id) {
  const auto it = tasks_.find({context.namespace_name(), std::string(id)});
  if (it != tasks_.end()) return &it->second;
  return absl::NotFoundError(base::ToAbsl(fmt::format("task {} not found", id)));
}

absl::StatusOr<ProcessState*> FakeTaskRuntime::FindProcess(const base::Context& context,
                                                           std::string_view id,
                                                           std::string_view exec_id) {
  ASSIGN_OR_RETURN(Task* const task, Find(context, id));
  if (exec_id.empty()) return &task->state;
  const auto it = task->execs.find(std::string(exec_id));
  if (it != task->execs.end()) return &it->second;
  return base::NotFound("process does not exist {}", exec_id);
}

absl::Status FakeTaskRuntime::Move(const base::Context& context, std::string_view id,
                                   TaskState from, TaskState to) {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(Task* const task, Find(context, id));
  if (task->state.state != from) return base::Unknown("task is in another state");
  task->state.state = to;
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> FakeTaskRuntime::Create(const base::Context& context,
                                                 const CreateTask& task) {
  const std::scoped_lock lock(mutex_);
  last_create_ = task;
  const auto [it, added] = tasks_.try_emplace(Key{context.namespace_name(), task.id});
  if (!added) return base::AlreadyExists("task {}", task.id);
  it->second.state = {.id = task.id,
                      .pid = next_pid_++,
                      .state = TaskState::kCreated,
                      .stdio = task.stdio,
                      .exit = {.at = base::ZeroTime()}};
  return it->second.state.pid;
}

absl::StatusOr<uint32_t> FakeTaskRuntime::Start(const base::Context& context, std::string_view id,
                                                std::string_view exec_id) {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(ProcessState* const process, FindProcess(context, id, exec_id));
  if (process->state != TaskState::kCreated) return base::Unknown("cannot start a running process");
  process->state = TaskState::kRunning;
  if (process->pid == 0) process->pid = next_pid_++;
  return process->pid;
}

absl::StatusOr<Exit> FakeTaskRuntime::Delete(const base::Context& context, std::string_view id) {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(Task* const task, Find(context, id));
  if (task->state.state == TaskState::kRunning) {
    return base::Unknown("failed to delete task: cannot delete a running process");
  }
  const Exit exit = task->state.exit;
  tasks_.erase({context.namespace_name(), std::string(id)});
  return exit;
}

absl::StatusOr<Exit> FakeTaskRuntime::DeleteProcess(const base::Context& context,
                                                    std::string_view id, std::string_view exec_id) {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(ProcessState* const process, FindProcess(context, id, exec_id));
  const Exit exit = process->exit;
  ASSIGN_OR_RETURN(Task* const task, Find(context, id));
  task->execs.erase(std::string(exec_id));
  return exit;
}

absl::StatusOr<ProcessState> FakeTaskRuntime::State(const base::Context& context,
                                                    std::string_view id, std::string_view exec_id) {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(const ProcessState* const process, FindProcess(context, id, exec_id));
  return *process;
}

absl::StatusOr<std::vector<ProcessState>> FakeTaskRuntime::List(const base::Context& context) {
  const std::scoped_lock lock(mutex_);
  std::vector<ProcessState> states;
  for (const auto& [key, task] : tasks_) {
    if (key.first == context.namespace_name()) states.push_back(task.state);
  }
  return states;
}

absl::Status FakeTaskRuntime::Kill(const base::Context& context, std::string_view id,
                                   std::string_view exec_id, uint32_t signal, bool) {
  {
    const std::scoped_lock lock(mutex_);
    ASSIGN_OR_RETURN(ProcessState* const process, FindProcess(context, id, exec_id));
    if (process->state == TaskState::kStopped) return base::NotFound("process already finished");
  }
  if (signal != 0 && exec_id.empty()) End(context.namespace_name(), std::string(id), 128 + signal);
  return absl::OkStatus();
}

absl::Status FakeTaskRuntime::Exec(const base::Context& context, std::string_view id,
                                   const ExecProcess& process) {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(Task* const task, Find(context, id));
  const auto [it, added] = task->execs.try_emplace(process.exec_id);
  if (!added) return base::AlreadyExists("id {}", process.exec_id);
  it->second = {.id = process.exec_id,
                .state = TaskState::kCreated,
                .stdio = process.stdio,
                .exit = {.at = base::ZeroTime()}};
  return absl::OkStatus();
}

absl::Status FakeTaskRuntime::ResizePty(const base::Context& context, std::string_view id,
                                        std::string_view exec_id, uint32_t, uint32_t) {
  return State(context, id, exec_id).status();
}

absl::Status FakeTaskRuntime::CloseIo(const base::Context& context, std::string_view id,
                                      std::string_view exec_id, bool) {
  return State(context, id, exec_id).status();
}

absl::Status FakeTaskRuntime::Pause(const base::Context& context, std::string_view id) {
  return Move(context, id, TaskState::kRunning, TaskState::kPaused);
}

absl::Status FakeTaskRuntime::Resume(const base::Context& context, std::string_view id) {
  return Move(context, id, TaskState::kPaused, TaskState::kRunning);
}

absl::StatusOr<std::vector<ProcessInfo>> FakeTaskRuntime::Pids(const base::Context& context,
                                                               std::string_view id) {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(const Task* const task, Find(context, id));
  return std::vector<ProcessInfo>{{.pid = task->state.pid}};
}

absl::Status FakeTaskRuntime::Update(const base::Context& context, std::string_view id,
                                     const base::Any&, const std::map<std::string, std::string>&) {
  return State(context, id, "").status();
}

absl::Status FakeTaskRuntime::Checkpoint(const base::Context& context, std::string_view id,
                                         const std::string&, const base::Any&) {
  return State(context, id, "").status();
}

absl::StatusOr<std::vector<TaskStatistics>> FakeTaskRuntime::Statistics(
    const base::Context& context, const std::function<bool(std::string_view id)>& wanted) {
  ASSIGN_OR_RETURN(const auto states, List(context));
  std::vector<TaskStatistics> statistics;
  for (const auto& state : states) {
    if (wanted(state.id)) statistics.push_back({.id = state.id, .timestamp = absl::Now()});
  }
  return statistics;
}

std::unique_ptr<TaskRuntime::PendingWait> FakeTaskRuntime::Wait(const base::Context& context,
                                                                std::string_view id,
                                                                std::string_view exec_id,
                                                                WaitDone done) {
  auto waiter = std::make_shared<Waiter>(std::move(done));
  absl::StatusOr<Exit> now = Exit{};
  {
    const std::scoped_lock lock(mutex_);
    const auto process = FindProcess(context, id, exec_id);
    if (!process.ok()) {
      now = process.status();
    } else if ((*process)->state != TaskState::kStopped) {
      (*Find(context, id))->waiters.push_back(waiter);
      waited_.notify_all();
      return Waiter::Hold(std::move(waiter));
    } else {
      now = (*process)->exit;
    }
  }
  waiter->Finish(now);
  return Waiter::Hold(std::move(waiter));
}

absl::StatusOr<std::string> FakeTaskRuntime::RootfsPath(const base::Context& context,
                                                        std::string_view id) {
  const std::scoped_lock lock(mutex_);
  RETURN_IF_ERROR(Find(context, id).status());
  return rootfs;
}

absl::StatusOr<base::Any> FakeTaskRuntime::RuntimeInfo(const base::Context&, const std::string&,
                                                       const base::Any&) {
  return base::Unimplemented("runtime info of a fake");
}

}  // namespace ctrd::runtime
