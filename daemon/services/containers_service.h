// SPDX-License-Identifier: Apache-2.0

// containerd.services.containers.v1.Containers. Source document: docs/api/containers.md.
#pragma once

#include <memory>

#include "daemon/metadata/container_store.h"
#include "grpcpp/impl/service_type.h"

namespace ctrd::services {

std::unique_ptr<grpc::Service> MakeContainersService(metadata::ContainerStore* containers);

}  // namespace ctrd::services
