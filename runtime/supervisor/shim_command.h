// SPDX-License-Identifier: Apache-2.0

// The short-lived invocations of a shim binary: start, delete, info. Thread-safe.
// Source document: docs/api/shim.md, section 3.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/any.h"
#include "base/process.h"
#include "runtime/supervisor/bootstrap.h"
#include "runtime/supervisor/bundle.h"
#include "runtime/task_runtime.h"

namespace ctrd::runtime {

struct ShimCommandOptions {
  std::string grpc_address;
  std::string ttrpc_address;
  std::string daemon_binary;                   // What shims run to publish events.
  std::string daemon_version;                  // "v2.3.4"
  std::string socket_dir;                      // "" to let the shim choose.
  std::vector<std::string> extra_environment;  // Of the start call.
};

// Neither a start nor a delete outlives this process: the next daemon decides anew.
class ShimCommands {
 public:
  explicit ShimCommands(ShimCommandOptions options) : options_(std::move(options)) {}

  // Runs `binary start` for the task of `bundle` and tells where the shim listens. A shim too old
  // for BootstrapParams on standard input is asked again the way it knows, once; the form is
  // remembered per binary.
  //   kUnknown  "start failed: <output>: exit status N"
  absl::StatusOr<ShimEndpoint> Start(const std::string& binary, const Bundle& bundle,
                                     const base::Any& task_options, absl::Time deadline);

  // Runs `binary delete`: what removes the rest of a task whose shim is gone. One that is killed is
  // run again, a few times.
  absl::StatusOr<Exit> Delete(const std::string& binary, const Bundle& bundle, absl::Time deadline);

  // Runs `binary -info`: an encoded containerd.types.RuntimeInfo.
  absl::StatusOr<std::string> Info(const std::string& binary, const base::Any& task_options,
                                   absl::Time deadline);

 private:
  enum class StdinForm { kUnknown, kBootstrapParams, kBareOptions };

  std::vector<std::string> Flags(const std::string& binary, const Bundle& bundle) const;
  std::vector<std::string> Environment(const Bundle& bundle) const;
  std::string BootstrapParams(const Bundle& bundle, const base::Any& task_options) const;
  absl::StatusOr<base::RunResult> RunStart(const std::string& binary, const Bundle& bundle,
                                           const std::string& input, absl::Time deadline) const;
  StdinForm FormFor(const std::string& binary);
  void Remember(const std::string& binary, StdinForm form);

  const ShimCommandOptions options_;
  std::mutex mutex_;
  std::map<std::string, StdinForm> forms_;
};

}  // namespace ctrd::runtime
