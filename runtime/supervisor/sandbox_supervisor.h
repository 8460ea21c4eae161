// SPDX-License-Identifier: Apache-2.0

// SandboxSupervisor: the sandbox runtime that starts a shim for each sandbox, finds it again after
// a restart of the daemon, and removes what one that died left behind.
//
//   <state>/<namespace>/<id>/   as the bundle of a task (bundle.h), in a directory of its own
//
// Threads: an event loop from the first sandbox on, and a few that come and go for what blocks.
// Without sandboxes it costs nothing. Thread-safe. Source documents: docs/api/sandboxes.md,
// docs/api/shim.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "runtime/sandbox_runtime.h"
#include "runtime/supervisor/bundle.h"
#include "runtime/supervisor/runtime_name.h"
#include "runtime/supervisor/shim_channel.h"
#include "runtime/supervisor/shim_command.h"
#include "runtime/supervisor/shim_log.h"
#include "runtime/supervisor/work_queue.h"

namespace ctrd::runtime {

struct SandboxOptions {
  std::string root_dir;   // <root>/io.containerd.sandbox.controller.v1.shim
  std::string state_dir;  // <state>/io.containerd.sandbox.controller.v1.shim
  ShimCommandOptions shims;
  absl::Duration shim_load = absl::Seconds(5);
  absl::Duration shim_cleanup = absl::Seconds(5);
  absl::Duration shim_shutdown = absl::Seconds(3);
  absl::Duration start_limit = absl::Minutes(2);  // Create and Start; other calls: call_limit.
  absl::Duration call_limit = absl::Seconds(30);
};

class SandboxSupervisor final : public SandboxRuntime {
 public:
  // Reads which sandboxes there are; calls for them wait until Adopt has found their shims.
  static absl::StatusOr<std::unique_ptr<SandboxSupervisor>> Open(SandboxOptions options);
  ~SandboxSupervisor() override;  // Leaves shims and sandboxes as they are.

  // Connects to the shims of what Open found. Call it once the API is served.
  void Adopt();

  absl::Status Create(const base::Context& context, const CreateSandbox& sandbox) override;
  absl::StatusOr<StartedSandbox> Start(const base::Context& context, std::string_view id) override;
  absl::StatusOr<SandboxPlatform> Platform(const base::Context& context,
                                           std::string_view id) override;
  absl::Status Stop(const base::Context& context, std::string_view id,
                    uint32_t timeout_seconds) override;
  absl::StatusOr<SandboxState> State(const base::Context& context, std::string_view id,
                                     bool verbose) override;
  absl::Status Shutdown(const base::Context& context, std::string_view id) override;
  absl::StatusOr<TaskStatistics> Statistics(const base::Context& context,
                                            std::string_view id) override;
  absl::StatusOr<SandboxEndpoint> Endpoint(const base::Context& context,
                                           std::string_view id) override;
  std::unique_ptr<TaskRuntime::PendingWait> Wait(const base::Context& context, std::string_view id,
                                                 TaskRuntime::WaitDone done) override;

 private:
  struct Sandbox {
    Bundle bundle;
    std::string binary;
    ShimEndpoint endpoint;
    std::unique_ptr<ShimChannel> channel;
    std::unique_ptr<ShimLog> log;
  };
  using SandboxPtr = std::shared_ptr<Sandbox>;
  using Key = std::pair<std::string, std::string>;  // {namespace, id}

  explicit SandboxSupervisor(SandboxOptions options);

  // The table. A key is busy while its sandbox is made, looked for or ended, by one at a time.
  absl::Status BeginCreate(const Key& key, absl::Time deadline);
  absl::StatusOr<SandboxPtr> Find(const base::Context& context, std::string_view id);
  absl::StatusOr<SandboxPtr> BeginEnd(const base::Context& context, std::string_view id);
  void Put(const Key& key, SandboxPtr sandbox);  // No longer busy; null: there is none.

  absl::StatusOr<base::EventLoop*> Loop();
  absl::Status StartShim(const CreateSandbox& request, Sandbox& sandbox, absl::Time deadline);
  absl::Status Connect(const SandboxPtr& sandbox, absl::Time deadline);
  absl::Status CreateInShim(const CreateSandbox& request, Sandbox& sandbox, absl::Time deadline);
  void AdoptOne(const Bundle& bundle);
  absl::StatusOr<std::string> Ask(const base::Context& context, const Sandbox& sandbox,
                                  std::string_view method, std::string request,
                                  absl::Duration limit);
  // The sandbox, if it is known, and its answer.
  absl::StatusOr<std::string> AskAbout(const base::Context& context, std::string_view id,
                                       std::string_view method, std::string request,
                                       absl::Duration limit);
  void EndShim(Sandbox& sandbox);
  void ShimClosed(const SandboxPtr& sandbox);
  void CleanUp(Sandbox& sandbox);  // What a shim that is gone left.

  const SandboxOptions options_;
  BundleStore bundles_;
  ShimResolver resolver_;
  ShimCommands commands_;
  std::vector<Bundle> found_;  // By Open, for Adopt.
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, SandboxPtr> sandboxes_;
  std::set<Key> busy_;
  std::unique_ptr<base::EventLoopThread> loop_;
  WorkQueue queue_{4};
};

}  // namespace ctrd::runtime
