// SPDX-License-Identifier: Apache-2.0

// TaskTable: the tasks the supervisor knows, and who may do what to them when.
//
//   Reserve --> creating --Publish--> live --BeginEnd--> ending --Retire--> retired --Erase--> gone
//               adopting ----^        | ^ ^------Publish-----'  (a Delete that failed)
//                   |      Quarantine v | Publish
//                   '------------> quarantined
//
// Whoever moved a task to `creating` or `ending` owns it until the next move: that is what keeps a
// Delete and the death of the shim from cleaning up twice. A task in quarantine has a shim that is
// there but does not answer as one: calls for it wait within their deadline, nobody else does. One
// that is retired is gone for everybody; what is left of it is cleared away before its id is free.
// Thread-safe; no lock is held while a shim is asked.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/supervisor/bundle.h"
#include "runtime/supervisor/shim_client.h"
#include "runtime/supervisor/shim_log.h"
#include "runtime/supervisor/task_waits.h"
#include "runtime/task_runtime.h"

namespace ctrd::runtime {

// Set up by the owner before the task is live; afterwards only what is thread-safe changes.
struct Task {
  Bundle bundle;
  std::string binary;      // Of the shim.
  ShimEndpoint endpoint;   // Set by TaskTable::SetEndpoint.
  bool sandboxed = false;  // Lives in the shim of a sandbox, which others end.
  std::unique_ptr<ShimLog> log;
  TaskWaits waits;
  std::atomic<bool> suspected = false;    // It is being found out whether its shim answers at all.
  std::atomic<bool> asked = false;        // For its state, by the supervisor itself.
  std::atomic<bool> owner_asked = false;  // And whoever owns the task waits for the answer.

  // The connection to its shim; null before there was one. A new one takes the place of one that
  // broke while the shim lived on.
  std::shared_ptr<ShimClient> shim() const {
    const std::scoped_lock lock(mutex_);
    return shim_;
  }
  void SetShim(std::shared_ptr<ShimClient> shim) {
    const std::scoped_lock lock(mutex_);
    shim_.swap(shim);
  }

  // What its shim said when it was adopted, to a question asked at `asked`: as good as an answer to
  // who began to wait before that.
  void SetAdopted(ProcessState state, absl::Time asked) {
    const std::scoped_lock lock(mutex_);
    adopted_ = {std::move(state), asked};
  }
  std::optional<ProcessState> StateSince(absl::Time time) const {
    const std::scoped_lock lock(mutex_);
    if (adopted_.second < time) return std::nullopt;
    return adopted_.first;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<ShimClient> shim_;
  std::pair<ProcessState, absl::Time> adopted_ = {{}, absl::InfinitePast()};
};
using TaskPtr = std::shared_ptr<Task>;

class TaskTable {
 public:
  enum class Stage { kCreating, kAdopting, kLive, kQuarantined, kEnding, kRetired };

  // Enters a new task, waiting until `deadline` for one of the same id that is ending or retired.
  //   kAlreadyExists  "task <id>: already exists"
  absl::Status Reserve(const TaskPtr& task, absl::Time deadline);
  void AddAdopting(const TaskPtr& task);
  void AdoptionBegins();
  void Publish(const TaskPtr& task);  // Now live.
  // Puts a task that is in stage `from` into quarantine; false if it is not. `why` follows "shim"
  // in a sentence: "does not answer".
  bool Quarantine(const TaskPtr& task, Stage from, std::string why);
  std::optional<Stage> StageOf(const TaskPtr& task) const;
  size_t CountQuarantined() const;

  // The live task; one that is being adopted, or in quarantine, is waited for until `deadline`.
  //   kNotFound          "task <id> not found"
  //   kDeadlineExceeded  "shim of task <id> <why>: context deadline exceeded"
  absl::StatusOr<TaskPtr> Find(const std::string& namespace_name, std::string_view id,
                               absl::Time deadline);
  // The task in whatever stage a Wait may begin; null if there is none.
  TaskPtr Peek(const std::string& namespace_name, std::string_view id);
  // Find, and the task is the caller's to end. A second caller waits for the first.
  absl::StatusOr<TaskPtr> BeginEnd(const std::string& namespace_name, std::string_view id,
                                   absl::Time deadline);
  // The same for a task at hand: the stage it was in, live or in quarantine; else nothing.
  std::optional<Stage> TryBeginEnd(const TaskPtr& task);
  void Retire(const TaskPtr& task);
  void Erase(const TaskPtr& task);

  // The live tasks of a namespace, after waiting for those being adopted: until `deadline`, and for
  // as long as one after the other is. Who has not been when the others have, and some time after
  // that, is in trouble, and does not keep the list waiting, nor the next ones.
  std::vector<TaskPtr> List(const std::string& namespace_name, absl::Time deadline);
  void SetEndpoint(Task& task, ShimEndpoint endpoint);
  // Does a task other than `task` use its shim? A retired one does not.
  bool SharesShim(const Task& task);
  // Waits until no task is being adopted.
  bool WaitAdopted(absl::Time deadline);
  std::vector<TaskPtr> TakeAll();

 private:
  using Key = std::pair<std::string, std::string>;  // {namespace, id}
  struct Entry {
    TaskPtr task;
    Stage stage;
    std::string why;  // It is in quarantine.

    bool visible() const { return stage != Stage::kCreating && stage != Stage::kRetired; }
  };
  static Key KeyOf(const Task& task) { return {task.bundle.namespace_name, task.bundle.id}; }
  void Enter(const TaskPtr& task, Stage stage);
  template <typename Predicate>
  bool WaitUntil(std::unique_lock<std::mutex>& lock, absl::Time deadline, Predicate predicate);
  // With the mutex held:
  bool HasStage(const Key& key, Stage stage);
  bool IsPending(const Key& key);  // Adopting, or in quarantine.
  absl::Status WhyPending(const Key& key);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Entry> entries_;
  absl::Time last_adopted_ = absl::InfiniteFuture();  // Or when adoption began.
};

absl::Status TaskNotFound(std::string_view id);

}  // namespace ctrd::runtime
