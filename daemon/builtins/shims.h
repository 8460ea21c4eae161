// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <future>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/config/config.h"
#include "runtime/runc/known_flaws.h"
#include "runtime/supervisor/shim_command.h"

namespace ctrd::builtins {

// What shims are started with: plugin io.containerd.shim.v1.manager.
struct ShimSettings {
  std::vector<std::string> environment;
  std::string socket_directory;
  // Asked for while the rest of the daemon opens: an answer takes a few milliseconds.
  std::future<absl::StatusOr<runtime::runc::RuntimeReport>> runc;
};

runtime::ShimCommandOptions ShimOptions(const config::Config& config, const ShimSettings& settings);

}  // namespace ctrd::builtins
