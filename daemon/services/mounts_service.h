// SPDX-License-Identifier: Apache-2.0

// containerd.services.mounts.v1.Mounts. Source document: docs/api/mounts.md.
#pragma once

#include <memory>

#include "base/mount_manager.h"
#include "grpcpp/impl/service_type.h"

namespace ctrd::services {

// `mounts` outlives the server.
std::unique_ptr<grpc::Service> MakeMountsService(base::MountManager* mounts);

}  // namespace ctrd::services
