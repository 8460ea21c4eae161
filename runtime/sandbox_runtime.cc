// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox_runtime.h"

namespace ctrd::runtime {

void AimAtSandbox(const base::Context& context, SandboxRuntime* sandboxes, CreateTask& task) {
  // Older shims need a start call for every task.
  constexpr uint32_t kFirstVersionForManyTasks = 3;
  if (sandboxes == nullptr || task.sandbox.empty() || !task.task_api_address.empty()) return;
  auto endpoint = sandboxes->Endpoint(context, task.sandbox);
  if (!endpoint.ok() || endpoint->version < kFirstVersionForManyTasks) return;
  task.task_api_address = std::move(endpoint->address);
  task.task_api_version = endpoint->version;
}

}  // namespace ctrd::runtime
