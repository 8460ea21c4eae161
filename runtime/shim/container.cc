// SPDX-License-Identifier: Apache-2.0

// What a container is and what happens when one of its processes ends. The operations on the first
// process are in container_init.cc, those on execs in container_exec.cc.
#include "runtime/shim/container.h"

#include <signal.h>

#include <charconv>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/time.h"
#include "events/task.pb.h"
#include "runtime/shim/proto_time.h"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostPidBytes = 32;

runc::Program ProgramFor(const Shim& shim, const ContainerRequest& request,
                         const RuncOptions& options) {
  runc::Program program;
  if (!options.binary_name.empty()) program.binary = options.binary_name;
  if (!options.root.empty()) program.root = options.root;
  program.namespace_name = shim.namespace_name;
  program.log_path = request.bundle + "/log.json";
  program.systemd_cgroup = options.systemd_cgroup;
  return program;
}

}  // namespace

Container::Container(Shim shim, ContainerRequest request, RuncOptions options)
    : shim_(std::move(shim)),
      request_(std::move(request)),
      options_(std::move(options)),
      runc_(shim_.loop, shim_.reaper, ProgramFor(shim_, request_, options_)),
      facts_(ReadFacts(request_.bundle)),
      init_(std::make_shared<Process>(shim_.loop, "", request_.stdio)),
      execs_changed_(shim_.loop) {
  if (!request_.checkpoint.empty()) init_->state = State::kRestorable;
}

absl::StatusOr<std::shared_ptr<Process>> Container::Find(const std::string& exec_id) const {
  if (exec_id.empty()) return init_;
  const auto exec = execs_.find(exec_id);
  if (exec == execs_.end()) return base::NotFound("process does not exist {}", exec_id);
  return exec->second;
}

State Container::StateOf(const Process& process) const {
  const bool init_is_paused = init_->state == State::kPaused || init_->state == State::kPausing;
  if (!process.exec_id.empty() && process.state == State::kRunning && init_is_paused) {
    return init_->state;
  }
  return process.state;
}

std::string Container::PidFile(const std::string& exec_id) const {
  // An exec of that name must not take the place of the first process. No id begins with a dot.
  if (exec_id == "init") return request_.bundle + "/.init.pid";
  return fmt::format("{}/{}.pid", request_.bundle, exec_id.empty() ? "init" : exec_id);
}

absl::StatusOr<uint32_t> Container::ReadPidFile(const std::string& exec_id) const {
  const absl::StatusOr<std::string> read = base::ReadFile(PidFile(exec_id), kMostPidBytes);
  if (!read.ok()) return base::WithCode(read.status(), absl::StatusCode::kUnknown);
  const std::string& text = *read;
  uint32_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid == 0) {
    return base::Unknown("failed to retrieve OCI runtime container pid: {:?}", text);
  }
  return pid;
}

IoOptions Container::IoOptionsFor(const Process& process) const {
  return {.paths = process.stdio,
          .id = process.exec_id.empty() ? request_.id : process.exec_id,
          .namespace_name = shim_.namespace_name,
          .bundle = request_.bundle,
          .uid = options_.io_uid,
          .gid = options_.io_gid,
          .abandoned = &abandoned_};
}

std::string Container::Description() const {
  static constexpr const char* kNames[] = {"created", "restorable", "running", "pausing",
                                           "paused",  "stopped",    "deleted"};
  std::string text = fmt::format("{} pid {}", kNames[static_cast<int>(init_->state)], init_->pid);
  if (const std::string call = runc_.Running(); !call.empty()) text += ", runtime call " + call;
  for (const auto& [exec_id, exec] : execs_) {
    text += fmt::format(", exec {} {} pid {}", exec_id, kNames[static_cast<int>(exec->state)],
                        exec->pid);
  }
  return text;
}

absl::Status Container::Resize(const std::string& exec_id, uint32_t width, uint32_t height) {
  ASSIGN_OR_RETURN(const auto process, Find(exec_id));
  if (!exec_id.empty() && process->state == State::kStopped) {
    return absl::UnknownError("cannot resize a stopped container");
  }
  return process->io == nullptr ? absl::OkStatus() : process->io->Resize(width, height);
}

absl::Status Container::CloseStdin(const std::string& exec_id) {
  ASSIGN_OR_RETURN(const auto process, Find(exec_id));
  if (process->io != nullptr) process->io->CloseStdin();
  return absl::OkStatus();
}

absl::StatusOr<base::Any> Container::Statistics() const {
  if (!cgroup_) return base::NotFound("cgroup does not exist");
  return cgroup_->Statistics();
}

void Container::Publish(const char* topic, const google::protobuf::MessageLite& event) {
  shim_.publisher->Publish(topic, event.GetTypeName(), event.SerializeAsString());
}

void Container::PublishExit(const Process& process) {
  containerd::events::TaskExit event;
  event.set_container_id(request_.id);
  event.set_id(process.exec_id.empty() ? request_.id : process.exec_id);
  event.set_pid(process.exit.pid);
  event.set_exit_status(process.exit.status);
  SetTime(process.exit.at, event.mutable_exited_at());
  Publish("/tasks/exit", event);
}

// Notes the exit where it lasts, then tells those who wait, then everybody.
void Container::Record(Process& process, const runc::Exit& exit) {
  shim_.rest->Disturb();
  const ExitRecord record{
      .pid = process.pid, .status = static_cast<uint32_t>(exit.status), .at = exit.at};
  const absl::Status written = WriteExitRecord(request_.bundle, process.exec_id, record);
  if (!written.ok()) {
    // Memory has it still; a full disk must not keep the container from ending.
    base::LogWarn("exit not written to the bundle", {{"id", request_.id}, {"error", written}});
  }
  process.SetExited(record);
  PublishExit(process);
}

void Container::ExecExited(const std::shared_ptr<Process>& process, runc::Exit exit) {
  Record(*process, exit);
  --active_execs_;
  execs_changed_.Notify();
}

// Without a pid namespace of their own, processes outlive the first one: they end here.
Async<bool> Container::EndExecs(Ptr self) {
  const bool runs = self->init_->state != State::kCreated && !self->deleted();
  if (runs && !self->facts_.private_pid_namespace) {
    Completion<absl::Status> killed;
    self->runc_.KillAll(self->id(), killed.callback());
    const absl::Status status = co_await killed;
    if (!status.ok()) base::LogWarn("cannot end all processes", {{"error", status}});
    for (const auto& [exec_id, exec] : self->execs_) {
      if (exec->state == State::kRunning) (void)::kill(static_cast<pid_t>(exec->pid), SIGKILL);
    }
  }
  while (self->active_execs_ > 0) {
    co_await self->execs_changed_.Wait();
  }
  co_return true;
}

Detached Container::InitExited(Ptr self, runc::Exit exit) {
  self->init_exiting_ = true;
  (void)co_await EndExecs(self);
  // A call that is under way ends first: the event of a start comes before that of the exit.
  const AsyncMutex::Guard guard = co_await self->init_->mutex.Acquire();
  // One last look at the counters: a kill for want of memory is told before the exit.
  self->oom_watch_.reset();
  if (self->init_->state == State::kPaused) {
    Completion<absl::Status> resumed;
    self->runc_.Resume(self->id(), resumed.callback());
    (void)co_await resumed;  // It is over either way.
  }
  if (self->deleted()) {
    // Deleted before it was started: clients know it as ended without a time.
    self->init_->exit = {self->init_->pid, static_cast<uint32_t>(exit.status), base::ZeroTime()};
    self->PublishExit(*self->init_);
  } else {
    self->Record(*self->init_, exit);
  }
}

void Container::WatchInit(const Ptr& self) {
  shim_.reaper->Watch(static_cast<pid_t>(init_->pid),
                      [self](runc::Exit exit) { InitExited(self, exit); });
}

void Container::WatchCgroup(const Ptr& self) {
  absl::StatusOr<cgroups::Cgroup> cgroup = cgroups::Cgroup::OfProcess(init_->pid);
  if (!cgroup.ok()) {
    return base::LogWarn("no statistics", {{"id", request_.id}, {"error", cgroup.status()}});
  }
  cgroup_ = *std::move(cgroup);
  if (const absl::Status enabled = cgroup_->EnableControllers(); !enabled.ok()) {
    base::LogWarn("not all controllers are enabled", {{"id", request_.id}, {"error", enabled}});
  }
  auto watch = cgroups::OomWatch::Start(shim_.loop, *cgroup_, [weak = std::weak_ptr(self)] {
    const Ptr container = weak.lock();
    if (container == nullptr) return;
    containerd::events::TaskOOM event;
    event.set_container_id(container->id());
    container->Publish("/tasks/oom", event);
  });
  if (watch.ok()) {
    oom_watch_ = *std::move(watch);
  } else {
    base::LogWarn("no OOM events", {{"id", request_.id}, {"error", watch.status()}});
  }
}

}  // namespace ctrd::runtime::shim
