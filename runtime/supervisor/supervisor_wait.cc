// SPDX-License-Identifier: Apache-2.0

// Waits for the ends of processes. A wait outlasts the search for a shim, and a broken connection.

#include <utility>

#include "base/status.h"
#include "runtime/supervisor/shim_messages.h"
#include "runtime/supervisor/supervisor.h"

namespace ctrd::runtime {

std::unique_ptr<TaskRuntime::PendingWait> Supervisor::Wait(const base::Context& context,
                                                           std::string_view id,
                                                           std::string_view exec_id,
                                                           WaitDone done) {
  auto waiter = std::make_shared<Waiter>(std::move(done));
  const std::string process(exec_id);
  if (const TaskPtr task = table_.Peek(context.namespace_name(), id)) {
    if (task->waits.Add(process, waiter)) AskForExit(task, process);
  } else {
    waiter->Finish(TaskNotFound(id));
  }
  return Waiter::Hold(std::move(waiter));
}

void Supervisor::AskForExit(const TaskPtr& task, const std::string& exec_id) {
  task->shim()->Call("Wait", ProcessRequest(task->bundle.id, exec_id), absl::InfiniteFuture(),
                     [weak = std::weak_ptr(task), exec_id](absl::StatusOr<std::string> answer) {
                       const auto waited = weak.lock();
                       if (waited == nullptr) return;
                       // Who cleans up after a lost connection tells the waiters: it may be made
                       // again.
                       if (ttrpc::IsClosedError(answer.status()) && waited->shim()->closed())
                         return;
                       waited->waits.Finish(exec_id, answer.ok()
                                                         ? ParseWait(*answer)
                                                         : absl::StatusOr<Exit>(answer.status()));
                     });
}

void Supervisor::AskForExits(const TaskPtr& task) {
  for (const std::string& exec_id : task->waits.Connected()) AskForExit(task, exec_id);
}

}  // namespace ctrd::runtime
