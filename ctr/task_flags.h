// SPDX-License-Identifier: Apache-2.0
// Starting a task as `run` and `tasks start` do.
#pragma once

#include "absl/status/status.h"
#include "ctr/cli/command.h"
#include "ctr/client.h"
#include "services/containers/v1/containers.pb.h"
#include "types/runc/options/oci.pb.h"

namespace ctrd::ctr {

// --null-io, --log-uri, --fifo-dir, --detach.
std::vector<Flag> StartFlags();

// Creates and starts the task of `container`. Attached: stays until it ends, deletes it, and makes
// its status our exit code. A task that could not be started is deleted.
absl::Status StartTask(Invocation& invocation, const Client& client,
                       const containerd::services::containers::v1::Container& container,
                       const containerd::runc::v1::Options* options);

}  // namespace ctrd::ctr
