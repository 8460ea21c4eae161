// SPDX-License-Identifier: Apache-2.0

// TaskTable: the tasks the supervisor knows, and who may do what to them when.
//
//   Reserve --> creating --Publish--> live --BeginEnd--> ending --Erase--> gone
//               adopting ----^          ^-----Publish------'  (a Delete that failed)
//
// Whoever moved a task to `creating` or `ending` owns it until the next move: that is what keeps a
// Delete and the death of the shim from cleaning up twice.
// Thread-safe; no lock is held while a shim is asked.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
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

namespace ctrd::runtime {

// Set up by the owner before the task is live; afterwards only the atomics change.
struct Task {
  Bundle bundle;
  std::string binary;  // Of the shim.
  ShimEndpoint endpoint;
  bool sandboxed = false;  // Lives in the shim of a sandbox, which others end.
  std::shared_ptr<ShimClient> shim;
  std::unique_ptr<ShimLog> log;
  std::atomic<bool> mute = false;  // Adopted, but its shim has not answered yet.
  TaskWaits waits;
};
using TaskPtr = std::shared_ptr<Task>;

class TaskTable {
 public:
  enum class Stage { kCreating, kAdopting, kLive, kEnding };

  // Enters a new task, waiting until `deadline` for one of the same id that is ending.
  //   kAlreadyExists  "task <id>: already exists"
  absl::Status Reserve(const TaskPtr& task, absl::Time deadline);
  void AddAdopting(const TaskPtr& task);
  void Publish(const TaskPtr& task);  // Now live.

  // The live task; one that is being adopted is waited for until `deadline`.
  //   kNotFound  "task <id> not found"
  absl::StatusOr<TaskPtr> Find(const std::string& namespace_name, std::string_view id,
                               absl::Time deadline);
  bool IsAdopting(const std::string& namespace_name, std::string_view id);
  // Find, and the task is the caller's to end. A second caller waits for the first.
  absl::StatusOr<TaskPtr> BeginEnd(const std::string& namespace_name, std::string_view id,
                                   absl::Time deadline);
  // The same for a task at hand; false if it is not live.
  bool TryBeginEnd(const TaskPtr& task);
  void Erase(const TaskPtr& task);

  // The live tasks of a namespace, after waiting until `deadline` for those being adopted.
  std::vector<TaskPtr> List(const std::string& namespace_name, absl::Time deadline);
  // Does a task other than `task` use its shim?
  bool SharesShim(const Task& task);
  // Waits until no task is being adopted.
  bool WaitAdopted(absl::Time deadline);
  std::vector<TaskPtr> TakeAll();

 private:
  using Key = std::pair<std::string, std::string>;  // {namespace, id}
  struct Entry {
    TaskPtr task;
    Stage stage;
  };
  static Key KeyOf(const Task& task) { return {task.bundle.namespace_name, task.bundle.id}; }
  void Enter(const TaskPtr& task, Stage stage);
  template <typename Predicate>
  bool WaitUntil(std::unique_lock<std::mutex>& lock, absl::Time deadline, Predicate predicate);
  bool HasStage(const Key& key, Stage stage);  // With the mutex held.

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Entry> entries_;
};

absl::Status TaskNotFound(std::string_view id);

}  // namespace ctrd::runtime
