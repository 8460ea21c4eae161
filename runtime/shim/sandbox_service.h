// SPDX-License-Identifier: Apache-2.0

// containerd.runtime.sandbox.v1.Sandbox: a sandbox is what holds the containers of this shim
// together. It has no process of its own and says it is the shim; the shim stays for as long as the
// sandbox is there, with containers or without.
//
//   CreateSandbox --> StartSandbox --> StopSandbox --> ShutdownSandbox
//                        ready          not ready       gone, and the shim with it
//
// StopSandbox ends all containers and answers when they have ended; those who wait for the sandbox
// hear of it then. ShutdownSandbox also deletes them. Source document: docs/api/shim.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/shim/joined_calls.h"
#include "runtime/shim/task_service.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {

class SandboxService {
 public:
  SandboxService(Shim shim, TaskService* tasks) : shim_(std::move(shim)), tasks_(tasks) {}

  // The methods. We outlive the server they are given to.
  ttrpc::Service Methods();

 private:
  friend struct SandboxMethods;
  struct Sandbox {
    std::string id;
    std::string rootfs;  // Where something was mounted for it; "" for nothing.
    absl::Time created_at, exited_at;
    bool started = false, stopped = false;
    std::vector<Reply> waiting;
  };
  //   kNotFound  "sandbox <id>: not found"
  absl::StatusOr<Sandbox*> Find(const std::string& id);
  static Async<absl::Status> Stop(SandboxService* self, std::string id, absl::Time deadline);

  const Shim shim_;
  TaskService* const tasks_;
  std::map<std::string, Sandbox> sandboxes_;
};

}  // namespace ctrd::runtime::shim
