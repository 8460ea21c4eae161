// SPDX-License-Identifier: Apache-2.0

// FakeTaskRuntime: tasks that exist in memory only, for tests of what stands above a runtime. A
// task ends when it is killed, or when the test says so (End).
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "runtime/task_runtime.h"
#include "runtime/waiter.h"

namespace ctrd::runtime {

class FakeTaskRuntime : public TaskRuntime {
 public:
  std::string rootfs = "/";  // Of all tasks.
  // What Create was given last.
  CreateTask last_create() const;
  // Ends the first process of a task.
  void End(const std::string& namespace_name, const std::string& id, uint32_t status);
  // Waits until so many wait for processes of a task. False: they never came.
  bool AwaitWaiters(const std::string& namespace_name, const std::string& id, size_t count);

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
  struct Task {
    ProcessState state;
    std::map<std::string, ProcessState> execs;
    std::vector<std::weak_ptr<Waiter>> waiters;
  };
  using Key = std::pair<std::string, std::string>;

  // With the mutex held.
  absl::StatusOr<Task*> Find(const base::Context& context, std::string_view id);
  absl::StatusOr<ProcessState*> FindProcess(const base::Context& context, std::string_view id,
                                            std::string_view exec_id);
  absl::Status Move(const base::Context& context, std::string_view id, TaskState from,
                    TaskState to);

  mutable std::mutex mutex_;
  std::condition_variable waited_;
  std::map<Key, Task> tasks_;
  CreateTask last_create_;
  uint32_t next_pid_ = 1000;
};

}  // namespace ctrd::runtime
