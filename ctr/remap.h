// SPDX-License-Identifier: Apache-2.0
// A snapshot for a user namespace: the same files, owned by the ids that the namespace maps them
// to.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ctr/client.h"
#include "runtime/spec/spec.h"

namespace ctrd::ctr {

struct IdMaps {
  std::vector<runtime::IdMapping> uids;
  std::vector<runtime::IdMapping> gids;
};

// The id on the host of `id` in the container.  kUnknown: no map has it.
absl::StatusOr<uint32_t> ToHostId(const std::vector<runtime::IdMapping>& maps, uint32_t id);

// Gives everything below `root` to the mapped ids; modes stay. Links are not followed, and an inode
// of many names is shifted once. On failure some files are shifted and others not.
absl::Status ShiftOwners(const std::string& root, const IdMaps& maps);

// A committed snapshot with the files of `parent` so shifted, made if it is not there; its name,
// which follows from both. The client holds a lease meanwhile.
absl::StatusOr<std::string> RemappedSnapshot(const Client& client, const std::string& snapshotter,
                                             const std::string& parent, const IdMaps& maps);

}  // namespace ctrd::ctr
