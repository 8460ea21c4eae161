// SPDX-License-Identifier: Apache-2.0

// Supervisor: the task runtime that starts shims, talks to them, notices when they die, and finds
// them again after a restart of the daemon.
//
// Shims outlive the daemon. Open reads which bundles there are and returns; Adopt connects to their
// shims, all at once and each with a budget, while the API is served already: a call for a task
// that is still being adopted waits for that, within its deadline. A shim that is there but does
// not answer as one is put into quarantine: logged, counted, looked at again, and in the way of
// nothing but calls for its own task. Only a shim that nobody finds any more is dead.
//
// Identical requests that overlap share one operation, and one that outlives its caller runs on;
// see operations.h. No call lasts forever, whatever its caller allows, but Wait.
//
// Threads: one event loop for all connections and shim logs, and a few that come and go for what
// blocks (child processes, unmounting). A pending Wait costs none.
//
// Thread-safe. Source documents: docs/api/shim.md, docs/api/tasks.md,
// docs/decisions/supervision.md.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/event.h"
#include "base/event_loop.h"
#include "base/metric.h"
#include "base/mount_manager.h"
#include "runtime/cgroups/attach_lead.h"
#include "runtime/supervisor/bundle.h"
#include "runtime/supervisor/operations.h"
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
  // Of a task's share in a list while it is being found out whether its shim answers at all.
  absl::Duration suspected = absl::Milliseconds(200);
  // Where the caller sets no limit, or an earlier one would leave things half done:
  absl::Duration shim_start = absl::Minutes(2);  // The start call.
  absl::Duration long_call = absl::Hours(1);     // Create, Start, Checkpoint: hooks, CRIU.
  absl::Duration call = absl::Minutes(2);        // Any other.
  // Between looks at a shim in quarantine: doubled each time up to the second.
  absl::Duration probe = absl::Seconds(1), probe_most = absl::Seconds(30);
  absl::Duration slow = absl::Seconds(10);  // An operation is logged with what it waits for.
};

struct SupervisorOptions {
  std::string root_dir;   // <root>/io.containerd.runtime.v2.task
  std::string state_dir;  // <state>/io.containerd.runtime.v2.task
  ShimCommandOptions shims;
  SupervisorTimeouts timeouts;
  base::EventSink* events = nullptr;     // Outlives the supervisor. Gets the events of dead shims.
  base::MountManager* mounts = nullptr;  // Outlives it. Null: root file systems need no manager.
  // The runtime of a container: for bundles that do not name their shim. May be null.
  std::function<absl::StatusOr<std::string>(const std::string& namespace_name,
                                            const std::string& id)>
      runtime_of;
};

class Supervisor final : public TaskRuntime, public base::MetricSource {
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

  // What is running now, and what it waits for.
  std::vector<RunningOperation> operations() const { return operations_.List(); }
  void Report(base::MetricSink& sink) const override;

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
  absl::StatusOr<std::string> RootfsPath(const base::Context& context,
                                         std::string_view id) override;
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
  absl::StatusOr<std::string> Ask(const base::Context& context, std::string_view id,
                                  std::string_view exec_id, std::string_view method,
                                  std::string request);
  // Asks all `tasks` at once; the answers stand where their tasks do.
  std::vector<absl::StatusOr<std::string>> AskAll(
      const std::vector<TaskPtr>& tasks, std::string_view method,
      const std::function<std::string(const Task&)>& request, absl::Duration budget);
  absl::Duration LimitOf(std::string_view method) const;
  void WatchOperations();

  // supervisor_wait.cc
  void AskForExit(const TaskPtr& task, const std::string& exec_id);
  void AskForExits(const TaskPtr& task);  // For which somebody waits already.

  // supervisor_create.cc
  void CreateNow(const base::Context& context, const CreateTask& request,
                 const Operations::Handle& operation);
  absl::StatusOr<std::string> CreateShimAndTask(const base::Context& context,
                                                const CreateTask& request, const TaskPtr& task,
                                                const Operations::Handle& operation);
  absl::Status CheckFeatures(const base::Context& context, const CreateTask& request);
  absl::Status StartShim(const base::Context& context, const CreateTask& request, Task& task,
                         const Operations::Handle& operation);
  absl::Status ConnectShim(const TaskPtr& task, absl::Time deadline);
  absl::StatusOr<std::string> CreateInShim(const base::Context& context, const CreateTask& request,
                                           Task& task);
  void UndoCreate(const TaskPtr& task);

  // supervisor_mounts.cc
  // The mounts that the shim is to make for `request`; what it cannot make is active after this.
  absl::StatusOr<base::Mounts> ActivateRootfs(const base::Context& context,
                                              const CreateTask& request, const Task& task);
  bool HasActiveMounts(const Task& task) const;
  void DeactivateRootfs(const Task& task);  // If there is something of this task.

  // supervisor_end.cc
  void FinishDelete(const TaskPtr& task, const absl::StatusOr<std::string>& answer,
                    const Operations::Handle& operation);
  void Retire(const TaskPtr& task, const absl::StatusOr<std::string>& answer,
              const Operations::Handle& operation);
  void EndShim(Task& task);  // Deletes the task there, if any, first.
  void EndUnknownShim(
      Task& task);                // That was started but of which we do not know where it listens.
  void ShutDownShim(Task& task);  // The two below.
  absl::Status TellToLeave(Task& task, absl::Time deadline);
  // `told`: what it said to that, for the log.
  void AwaitLeft(Task& task, const absl::Status& told, absl::Time deadline);
  void ShimClosed(const TaskPtr& task);
  absl::StatusOr<Exit> BuryDead(const TaskPtr& task);  // The caller owns the task.
  Exit CleanUpDead(Task& task);
  void RemoveBundle(const Task& task);
  void Leave(const TaskPtr& task, const absl::Status& why);  // The table; ends waits.

  // supervisor_events.cc
  void PublishExit(const Task& task, const std::string& process, const Exit& exit);
  void PublishDelete(const Task& task, const Exit& exit);
  absl::Status TellExit(const std::string& bundle_path, const std::string& process,
                        const Exit& exit, const base::Event& event);
  void TellMissedExits(const Task& task, const ProcessState& state);
  std::vector<ProcessState> ExitedExecs(const Task& task);

  // supervisor_adopt.cc
  enum class Reached { kYes, kNobody, kNoAnswer };
  static constexpr char kDoesNotAnswer[] = "does not answer";
  static constexpr char kNotReached[] = "cannot be connected to";
  static constexpr char kHangsUp[] = "breaks the connection when it is asked";
  Reached Reach(const TaskPtr& task);  // Connects, if it is not.
  // Without a connection that stays: its end would have us look again, without a pause.
  Reached LookAt(const Task& task);
  static Reached Judge(const Task& task, const absl::Status& connected);
  void AdoptOne(const TaskPtr& task);
  absl::Status FindShimOf(Task& task);
  // Asks for the state of a task that the caller owns, which then is Answered's, or of one in
  // quarantine, which Answered takes if nobody else has by then. It is told since when.
  enum class Asker { kOwner, kNobody };
  void AskForState(const TaskPtr& task, Asker asker, absl::Time deadline);
  void Answered(const TaskPtr& task, const absl::StatusOr<std::string>& state, absl::Time since);
  void GoLive(const TaskPtr& task);
  // The caller owns the task. `again`: it was in quarantine until a moment ago.
  void Quarantine(const TaskPtr& task, std::string_view why, bool again);
  void Enquarantined(const TaskPtr& task, std::string_view why);
  void ProbeLater(const TaskPtr& task, absl::Duration delay);
  void Probe(const TaskPtr& task, absl::Duration delay);
  void Suspect(const TaskPtr& task);
  void Forget(const TaskPtr& task);

  cgroups::AttachLead lead_;  // For the runtime, which is about to make a process.
  const SupervisorOptions options_;
  const SupervisorTimeouts timeouts_;
  BundleStore bundles_;
  ShimResolver resolver_;
  ShimCommands commands_;
  ForwardedEvents forwarded_{*this};
  std::vector<TaskPtr> found_;  // By Open, for Adopt.
  std::atomic<bool> stopping_ = false;
  TaskTable table_;
  WorkQueue finding_{8};  // Of shims. Apart, so that the dead do not keep the living waiting.
  WorkQueue queue_{8};
  WorkQueue leaving_{8};  // What is left of deleted tasks.
  Operations operations_{[this](Operations::Work work) { queue_.Post(std::move(work)); }};
  std::mutex telling_;  // Of exits: looked up, published and marked as one.
  base::Counter adopted_, quarantined_, released_, died_, killed_;
  // Last, to end first: its callbacks find it here until its thread has ended.
  std::unique_ptr<base::EventLoopThread> loop_;
};

}  // namespace ctrd::runtime
