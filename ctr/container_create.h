// SPDX-License-Identifier: Apache-2.0
// Containers: making the record and its snapshot, and taking both away again.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ctr/cli/command.h"
#include "ctr/client.h"
#include "runtime/spec/users.h"
#include "services/containers/v1/containers.pb.h"

namespace ctrd::ctr {

// Makes the container that flags and arguments describe: unpacks the image if need be, prepares the
// snapshot, writes the record. On failure no snapshot of this call stays.
absl::StatusOr<containerd::services::containers::v1::Container> CreateContainer(
    const Invocation& invocation, Client& client);

absl::StatusOr<containerd::services::containers::v1::Container> GetContainer(const Client& client,
                                                                             const std::string& id);

// Removes the container's snapshot, unless `keep_snapshot`, and its record.
absl::Status DeleteContainer(const Client& client,
                             const containerd::services::containers::v1::Container& container,
                             bool keep_snapshot);

// Reads passwd and group of the snapshot `key`, mounted read-only at the first use for as long as
// the reader lives.
runtime::AccountFileReader ReadAccountFilesOfSnapshot(const Client& client,
                                                      const std::string& snapshotter,
                                                      const std::string& key);

}  // namespace ctrd::ctr
