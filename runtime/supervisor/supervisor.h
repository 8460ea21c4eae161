// SPDX-License-Identifier: Apache-2.0

// Supervisor: the task runtime that starts shims, talks to them, notices when they die, and finds
// them again after a restart of the daemon.
//
// Shims outlive the daemon. Open reads which bundles there are and returns; Adopt connects to their
// shims, all at once and each with a budget, while the API is served already: a call for a task
// that is still being adopted waits for that, within its deadline. A shim that does not answer is
// kept, logged, and holds up only calls for its own task.
//
// Threads: one event loop for all connections and shim logs, and a few that come and go for what
// blocks (child processes, unmounting). A pending Wait costs none.
//
// Thread-safe. Source documents: docs/api/shim.md, docs/api/tasks.md.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/event.h"
#include "base/event_loop.h"
#include "runtime/supervisor/bundle.h"
#include "runtime/supervisor/runtime_name.h"
#include "runtime/supervisor/shim_command.h"
#include "runtime/supervisor/task_table.h"
#include "runtime/supervisor/work_queue.h"
#include "runtime/task_runtime.h"

namespace ctrd::runtime {

struct SupervisorTimeouts {
  absl::Duration shim_load = absl::Seconds(5);      // io.containerd.timeout.shim.load
  absl::Duration shim_cleanup = absl::Seconds(5);   // io.containerd.timeout.shim.cleanup
  absl::Duration shim_shutdown = absl::Seconds(3);  // io.containerd.timeout.shim.shutdown
  absl::Duration task_state = absl::Seconds(2);     // io.containerd.timeout.task.state
  absl::Duration statistics = absl::Seconds(2);     // io.containerd.timeout.metrics.shimstats
  absl::Duration shim_start = absl::Minutes(2);  // Of the start call, if the caller has no limit.
};

struct SupervisorOptions {
  std::string root_dir;   // <root>/io.containerd.runtime.v2.task
  std::string state_dir;  // <state>/io.containerd.runtime.v2.task
  ShimCommandOptions shims;
  SupervisorTimeouts timeouts;
  base::EventSink* events = nullptr;  // Outlives the supervisor. Gets the events of dead shims.
  // The runtime of a container: for bundles that do not name their shim. May be null.
  std::function<absl::StatusOr<std::string>(const std::string& namespace_name,
                                            const std::string& id)>
      runtime_of;
};

class Supervisor final : public TaskRuntime {
 public:
  static absl::StatusOr<std::unique_ptr<Supervisor>> Open(SupervisorOptions options);
  ~Supervisor() override;  // Leaves shims and tasks as they are.

  // Starts to adopt what Open found. Call it once the API is served.
  void Adopt();
  // For tests and for the metrics of a restart. False at the deadline.
  bool WaitAdopted(absl::Time deadline) { return table_.WaitAdopted(deadline); }

  // Where the events that shims send go in: passes them on to `options.events`, and remembers which
  // exits were told, so that those which were not are told after a restart.
  base::EventSink& forwarded_events() { return forwarded_; }

  absl::StatusOr<uint32_t> Create(const base::Context& context, const CreateTask& task) override;
  absl::StatusOr<uint32_t> Start(const base::Context& context, std::string_view id,
                                 std::string_view exec_id) override;
  absl::StatusOr<Exit> Delete(const base::Context& context, std::string_view id) override;
  absl::StatusOr<Exit> DeleteProcess(const base::Context& context, std::string_view id,
                                     std::string_view exec_id) override;
  absl::StatusOr<ProcessState> State(const base::Context& context, std::string_view id,
                                     std::string_view exec_id) override;
  absl::StatusOr<std::vector<ProcessState>> List(const base::Context& context) override;
  absl::Status Kill(const base::Context& context, std::string_view id, std::string_view exec_id,
                    uint32_t signal, bool all) override;
  absl::Status Exec(const base::Context& context, std::string_view id,
                    const ExecProcess& process) override;
  absl::Status ResizePty(const base::Context& context, std::string_view id,
                         std::string_view exec_id, uint32_t width, uint32_t height) override;
  absl::Status CloseIo(const base::Context& context, std::string_view id, std::string_view exec_id,
                       bool close_stdin) override;
  absl::Status Pause(const base::Context& context, std::string_view id) override;
  absl::Status Resume(const base::Context& context, std::string_view id) override;
  absl::StatusOr<std::vector<ProcessInfo>> Pids(const base::Context& context,
                                                std::string_view id) override;
  absl::Status Update(const base::Context& context, std::string_view id, const base::Any& resources,
                      const std::map<std::string, std::string>& annotations) override;
  absl::Status Checkpoint(const base::Context& context, std::string_view id,
                          const std::string& path, const base::Any& options) override;
  absl::StatusOr<std::vector<TaskStatistics>> Statistics(
      const base::Context& context,
      const std::function<bool(std::string_view id)>& wanted) override;
  std::unique_ptr<PendingWait> Wait(const base::Context& context, std::string_view id,
                                    std::string_view exec_id, WaitDone done) override;
  absl::StatusOr<base::Any> RuntimeInfo(const base::Context& context, const std::string& runtime,
                                        const base::Any& options) override;

 private:
  class ForwardedEvents final : public base::EventSink {
   public:
    explicit ForwardedEvents(Supervisor& supervisor) : supervisor_(supervisor) {}
    absl::Status Publish(const base::Event& event) override;

   private:
    Supervisor& supervisor_;
  };

  explicit Supervisor(SupervisorOptions options);

  // supervisor.cc
  absl::StatusOr<TaskPtr> Find(const base::Context& context, std::string_view id);
  base::Context Budget(const base::Context& context, const Task& task) const;
  absl::StatusOr<std::string> Ask(const base::Context& context, std::string_view id,
                                  std::string_view method, std::string request);
  // Asks all `tasks` at once; the answers stand where their tasks do.
  std::vector<absl::StatusOr<std::string>> AskAll(
      const std::vector<TaskPtr>& tasks, std::string_view method,
      const std::function<std::string(const Task&)>& request, absl::Duration budget);
  void StartWait(const base::Context& context, const std::string& id, const std::string& exec_id,
                 const std::shared_ptr<Waiter>& waiter);

  // supervisor_life.cc: how tasks begin and end
  absl::Status StartShim(const base::Context& context, const CreateTask& request, Task& task);
  absl::Status ConnectShim(const TaskPtr& task, absl::Time deadline);
  absl::StatusOr<uint32_t> CreateInShim(const base::Context& context, const CreateTask& request,
                                        Task& task);
  void UndoCreate(const TaskPtr& task);
  void EndShim(Task& task);  // Deletes the task there, if any, first.
  void ShutDownShim(Task& task);
  void ShimClosed(const TaskPtr& task);
  absl::StatusOr<Exit> BuryDead(const TaskPtr& task);  // The caller owns the task.
  Exit CleanUpDead(Task& task);
  void RemoveBundle(const Task& task);
  void PublishExit(const Task& task, const Exit& exit);
  void PublishDelete(const Task& task, const Exit& exit);

  // supervisor_adopt.cc
  void AdoptOne(const TaskPtr& task);
  absl::Status FindShimOf(Task& task);
  void EndUnknownShim(Task& task);
  void Adopted(const TaskPtr& task, const absl::StatusOr<std::string>& state);
  void Forget(const TaskPtr& task);
  void TellMissedExit(const Task& task, const std::string& state);

  const SupervisorOptions options_;
  const SupervisorTimeouts timeouts_;
  BundleStore bundles_;
  ShimResolver resolver_;
  ShimCommands commands_;
  ForwardedEvents forwarded_{*this};
  std::vector<TaskPtr> found_;  // By Open, for Adopt.
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<base::EventLoopThread> loop_;
  TaskTable table_;
  WorkQueue queue_{8};
  WorkQueue waits_{2};
};

}  // namespace ctrd::runtime
