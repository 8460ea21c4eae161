// SPDX-License-Identifier: Apache-2.0

// containerd.services.diff.v1.Diff: asks the configured differs in turn.
// Source document: docs/api/diff.md.
#pragma once

#include <memory>
#include <vector>

#include "grpcpp/impl/service_type.h"
#include "images/diff/differ.h"

namespace ctrd::services {

// `sync_fs`: every apply syncs, whether asked to or not.
std::unique_ptr<grpc::Service> MakeDiffService(std::vector<diff::Differ*> differs, bool sync_fs);

}  // namespace ctrd::services
