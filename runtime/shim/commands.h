// SPDX-License-Identifier: Apache-2.0

// What the shim's binary does, by its action. Each returns what the process prints on standard
// output; an error goes to standard error and makes the exit code 1.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/shim/flags.h"

namespace ctrd::runtime::shim {

inline constexpr std::string_view kRuntimeName = "io.containerd.runc.v2";

// Finds or starts the server for the container's group and tells its address. In the bundle.
absl::StatusOr<std::string> StartCommand(const Flags& flags);
// Cleans up after a server that is gone: how the container ended, as an encoded DeleteResponse.
absl::StatusOr<std::string> DeleteCommand(const Flags& flags);
// An encoded containerd.types.RuntimeInfo.
absl::StatusOr<std::string> InfoCommand();
// Serves until it is asked to leave. Its listener is descriptor 3.
absl::Status ServeCommand(const Flags& flags);

// Standard input, at most 10 MiB; "" from a terminal.
absl::StatusOr<std::string> ReadStandardInput();

}  // namespace ctrd::runtime::shim
