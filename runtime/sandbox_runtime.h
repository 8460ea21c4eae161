// SPDX-License-Identifier: Apache-2.0

// SandboxRuntime: runs sandboxes, the environments that several tasks share: a pod's namespaces, a
// virtual machine.
//
//   Create --> created --Start--> ready --Stop, exit--> stopped --Shutdown--> gone
//
// A sandbox is a shim that was started for it and knows the sandbox service; tasks of the sandbox
// are created at its Endpoint. The runtime knows no sandbox records: what it needs of one comes
// with Create. Namespaces come with the context and are validated by the caller.
//
// Thread-safe. Errors carry the texts of the shim unchanged. A call without a deadline gets one,
// Wait excepted. Source document: docs/api/sandboxes.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/any.h"
#include "base/context.h"
#include "base/mount.h"
#include "runtime/task_runtime.h"

namespace ctrd::runtime {

struct CreateSandbox {
  std::string id;
  std::string runtime;        // Name or absolute path.
  base::Any runtime_options;  // For the start of the shim.
  base::Any spec;             // Written to the bundle verbatim.
  base::Any options;          // The rest is passed to the shim verbatim.
  base::Mounts rootfs;
  std::string netns_path;
  std::map<std::string, std::string> annotations;
};

// Where tasks of a sandbox are created.
struct SandboxEndpoint {
  std::string address;   // "ttrpc+unix:///…"
  uint32_t version = 0;  // Of the task API.
};

struct StartedSandbox {
  uint32_t pid = 0;
  absl::Time created;
  base::Any spec;
  SandboxEndpoint endpoint;
};

struct SandboxState {
  uint32_t pid = 0;
  std::string state;  // As the shim calls it: "SANDBOX_READY".
  std::map<std::string, std::string> info;
  absl::Time created;
  absl::Time exited;
  base::Any extra;
  SandboxEndpoint endpoint;
};

struct SandboxPlatform {
  std::string os, architecture, variant;
};

class SandboxRuntime {
 public:
  virtual ~SandboxRuntime() = default;

  // On failure nothing is left.
  //   kAlreadyExists  "sandbox <id>: already exists"
  virtual absl::Status Create(const base::Context& context, const CreateSandbox& sandbox) = 0;

  // All below: kNotFound  "sandbox <id>: not found"
  virtual absl::StatusOr<StartedSandbox> Start(const base::Context& context,
                                               std::string_view id) = 0;
  virtual absl::StatusOr<SandboxPlatform> Platform(const base::Context& context,
                                                   std::string_view id) = 0;
  // A sandbox that is not there any more is stopped: no error.
  virtual absl::Status Stop(const base::Context& context, std::string_view id,
                            uint32_t timeout_seconds) = 0;
  virtual absl::StatusOr<SandboxState> State(const base::Context& context, std::string_view id,
                                             bool verbose) = 0;
  // Ends the shim and removes what was made for the sandbox.
  virtual absl::Status Shutdown(const base::Context& context, std::string_view id) = 0;
  virtual absl::StatusOr<TaskStatistics> Statistics(const base::Context& context,
                                                    std::string_view id) = 0;
  virtual absl::StatusOr<SandboxEndpoint> Endpoint(const base::Context& context,
                                                   std::string_view id) = 0;

  // As TaskRuntime::Wait.
  virtual std::unique_ptr<TaskRuntime::PendingWait> Wait(const base::Context& context,
                                                         std::string_view id,
                                                         TaskRuntime::WaitDone done) = 0;
};

// Sets where `task` is created: in the shim of its sandbox, if it has one that is known and takes
// tasks, and if the task does not say otherwise. `sandboxes` may be null.
void AimAtSandbox(const base::Context& context, SandboxRuntime* sandboxes, CreateTask& task);

}  // namespace ctrd::runtime
