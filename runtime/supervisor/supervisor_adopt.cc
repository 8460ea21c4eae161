// SPDX-License-Identifier: Apache-2.0

// What happens after a restart of the daemon: docs/api/shim.md, section 9, with differences. The
// API is served meanwhile; a task that has stopped but was not deleted is kept, so that its exit
// status survives; and a shim is dead only if nobody listens on its socket.

#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "runtime/supervisor/exit_marker.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {

void Supervisor::Adopt() {
  table_.AdoptionBegins();
  queue_.Post([this] { bundles_.RemoveLeftovers(); });
  for (TaskPtr& task : std::exchange(found_, {})) {
    finding_.Post([this, task = std::move(task)] { AdoptOne(task); });
  }
}

absl::Status Supervisor::FindShimOf(Task& task) {
  constexpr size_t kPathLimitBytes = 8192;
  auto binary = base::ReadFile(task.bundle.File("shim-binary-path"), kPathLimitBytes);
  task.sandboxed = base::Exists(task.bundle.File("sandbox"));
  if (binary.ok()) {
    task.binary = *std::move(binary);
    return absl::OkStatus();
  }
  if (options_.runtime_of == nullptr) return binary.status();
  ASSIGN_OR_RETURN(const std::string runtime,
                   options_.runtime_of(task.bundle.namespace_name, task.bundle.id));
  ASSIGN_OR_RETURN(task.binary, resolver_.Resolve(runtime));
  return absl::OkStatus();
}

void Supervisor::AdoptOne(const TaskPtr& task) {
  if (stopping_) return;
  const absl::Status found = FindShimOf(*task);
  if (!found.ok() && !task->sandboxed) {
    base::LogWarn("bundle without a shim, removing it",
                  {{"path", task->bundle.path}, {"error", found}});
    return queue_.Post([this, task] {
      EndUnknownShim(*task);
      RemoveBundle(*task);
      Leave(task, TaskNotFound(task->bundle.id));
    });
  }
  if (auto endpoint = ReadEndpoint(task->bundle.path); endpoint.ok()) {
    table_.SetEndpoint(*task, *std::move(endpoint));
  }
  const Reached reached = task->endpoint.address.empty() ? Reached::kNobody : Reach(task);
  if (reached == Reached::kNobody) return queue_.Post([this, task] { Forget(task); });
  auto log = ShimLog::Open(loop_->loop(), task->bundle.File("log"), task->bundle.id);
  if (log.ok()) {
    task->log = *std::move(log);
  } else {
    base::LogWarn("log of a shim is lost", {{"id", task->bundle.id}, {"error", log.status()}});
  }
  if (reached == Reached::kNoAnswer) return Quarantine(task, kNotReached, false);
  AskForState(task, Asker::kOwner, absl::Now() + timeouts_.shim_load);
}

Supervisor::Reached Supervisor::Reach(const TaskPtr& task) {
  if (const auto shim = task->shim(); shim != nullptr && !shim->closed()) return Reached::kYes;
  return Judge(*task, ConnectShim(task, absl::Now() + timeouts_.shim_load));
}

Supervisor::Reached Supervisor::LookAt(const Task& task) {
  const auto shim = ShimClient::Connect(loop_->loop(), task.endpoint, task.bundle.namespace_name,
                                        absl::Now() + timeouts_.shim_load);
  if (shim.ok()) (*shim)->Close();
  return Judge(task, shim.status());
}

Supervisor::Reached Supervisor::Judge(const Task& task, const absl::Status& connected) {
  if (connected.ok()) return Reached::kYes;
  // Refused, or no such file. Anything else says more about us than about the shim.
  const bool nobody = absl::IsUnavailable(connected) || absl::IsNotFound(connected);
  base::LogInfo(
      nobody ? "shim is gone" : "shim cannot be connected to",
      {{"id", task.bundle.id}, {"namespace", task.bundle.namespace_name}, {"error", connected}});
  return nobody ? Reached::kNobody : Reached::kNoAnswer;
}

// One question at a time: a shim that never reads must not make us keep ever more of them.
void Supervisor::AskForState(const TaskPtr& task, Asker asker, absl::Time deadline) {
  // Before the line below: else an answer that comes in between would leave the task to nobody.
  if (asker == Asker::kOwner) task->owner_asked = true;
  if (task->asked.exchange(true)) return;
  task->shim()->Call(
      "State", ProcessRequest(task->bundle.id, ""), deadline,
      [this, weak = std::weak_ptr(task), since = absl::Now()](absl::StatusOr<std::string> state) {
        finding_.Post([this, weak, since, state = std::move(state)] {
          const auto asked = weak.lock();
          if (asked == nullptr) return;
          asked->asked = false;
          Answered(asked, state, since);
        });
      });
}

void Supervisor::Answered(const TaskPtr& task, const absl::StatusOr<std::string>& state,
                          absl::Time since) {
  const bool owned = task->owner_asked.exchange(false);
  const auto stage = table_.StageOf(task);
  if (stopping_ || !stage || *stage == TaskTable::Stage::kLive) return;
  // Who found its connection broken may be burying it at this moment.
  const bool quarantined = *stage == TaskTable::Stage::kQuarantined;
  if (!owned && !(quarantined && table_.TryBeginEnd(task))) return;
  const base::LogFields fields = {{"id", task->bundle.id},
                                  {"namespace", task->bundle.namespace_name},
                                  {"error", state.status()}};
  if (ttrpc::IsClosedError(state.status())) {
    if (Reach(task) == Reached::kNobody) return queue_.Post([this, task] { Forget(task); });
    return Quarantine(task, kHangsUp, quarantined);
  }
  if (absl::IsNotFound(state.status())) {
    // Started but never created, or deleted already, when the daemon went away.
    base::LogWarn("shim without its task, ending it", fields);
    return queue_.Post([this, task] {
      EndShim(*task);
      (void)CleanUpDead(*task);
      RemoveBundle(*task);
      Leave(task, TaskNotFound(task->bundle.id));
    });
  }
  if (absl::IsDeadlineExceeded(state.status())) {
    return Quarantine(task, kDoesNotAnswer, quarantined);
  }
  if (!state.ok()) {
    base::LogWarn("shim cannot tell the state of its task", fields);
  } else {
    const auto answer = Parse<task_v3::StateResponse>(*state);
    if (!answer.ok() || answer->id() != task->bundle.id) {
      return Quarantine(task, "does not answer what it is asked", quarantined);
    }
    TellMissedExits(*task, ProcessOf(*answer));
    task->SetAdopted(ProcessOf(*answer), since);
  }
  if (*stage == TaskTable::Stage::kAdopting) {
    adopted_.Add();
  } else {
    released_.Add();
    base::LogWarn("shim answers again", fields);
  }
  GoLive(task);
}

void Supervisor::GoLive(const TaskPtr& task) {
  task->suspected = false;
  table_.Publish(task);
  AskForExits(task);
  if (task->shim()->closed()) queue_.Post([this, task] { ShimClosed(task); });
}

void Supervisor::Forget(const TaskPtr& task) {
  EndUnknownShim(*task);
  const bool was_created = base::Exists(task->bundle.File("bootstrap.json"));
  const bool exit_told = SomeExitWasTold(task->bundle.path, "");
  died_.Add();
  const Exit exit = CleanUpDead(*task);
  if (was_created) {
    if (!exit_told) PublishExit(*task, "", exit);
    PublishDelete(*task, exit);
  }
  RemoveBundle(*task);
  Leave(task, was_created ? ttrpc::ClosedError() : TaskNotFound(task->bundle.id));
}

// ---- Quarantine: the shim is there, and that is all we know.

void Supervisor::Quarantine(const TaskPtr& task, std::string_view why, bool again) {
  const auto stage = table_.StageOf(task);
  if (!stage || !table_.Quarantine(task, *stage, std::string(why))) return;
  if (!again) Enquarantined(task, why);
}

void Supervisor::Enquarantined(const TaskPtr& task, std::string_view why) {
  quarantined_.Add();
  base::LogError("shim put into quarantine", {{"id", task->bundle.id},
                                              {"namespace", task->bundle.namespace_name},
                                              {"why", fmt::format("it {}", why)}});
  // Who does not answer now may any time later; who answers nonsense is given time.
  if (why == kDoesNotAnswer) AskForState(task, Asker::kNobody, absl::InfiniteFuture());
  ProbeLater(task, timeouts_.probe);
}

void Supervisor::ProbeLater(const TaskPtr& task, absl::Duration delay) {
  loop_->loop()->Post([this, weak = std::weak_ptr(task), delay] {
    if (stopping_) return;  // The loop is about to go.
    (void)loop_->loop()->After(delay, [this, weak, delay] {
      finding_.Post([this, weak, delay] {
        if (const auto probed = weak.lock()) Probe(probed, delay);
      });
    });
  });
}

void Supervisor::Probe(const TaskPtr& task, absl::Duration delay) {
  const auto stage = table_.StageOf(task);
  if (stopping_ || !stage || *stage == TaskTable::Stage::kLive) return;
  ProbeLater(task, std::min(2 * delay, timeouts_.probe_most));
  if (*stage != TaskTable::Stage::kQuarantined) return;  // Somebody looks at it right now.
  switch (Reach(task)) {
    case Reached::kYes:
      return AskForState(task, Asker::kNobody, absl::InfiniteFuture());
    case Reached::kNoAnswer:
      return;
    case Reached::kNobody:
      if (table_.TryBeginEnd(task)) queue_.Post([this, task] { (void)BuryDead(task); });
  }
}

// A task that did not tell its state in time: perhaps because it is busy, perhaps because its shim
// does not answer at all. A question that no shim has to think about tells.
void Supervisor::Suspect(const TaskPtr& task) {
  if (table_.StageOf(task) != TaskTable::Stage::kLive || task->suspected.exchange(true)) return;
  task_v3::ConnectRequest request;
  request.set_id(task->bundle.id);
  task->shim()->Call(
      "Connect", request.SerializeAsString(), absl::Now() + timeouts_.shim_load,
      [this, weak = std::weak_ptr(task)](absl::StatusOr<std::string> answer) {
        const auto asked = weak.lock();
        if (asked == nullptr) return;
        if (!absl::IsDeadlineExceeded(answer.status())) {
          asked->suspected = false;
        } else if (table_.Quarantine(asked, TaskTable::Stage::kLive, kDoesNotAnswer)) {
          finding_.Post([this, asked] { Enquarantined(asked, kDoesNotAnswer); });
        }
      });
}

}  // namespace ctrd::runtime
