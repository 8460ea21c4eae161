// SPDX-License-Identifier: Apache-2.0

// containerd.services.leases.v1.Leases. Source document: docs/api/leases.md.
#pragma once

#include <memory>

#include "daemon/services/collect.h"
#include "grpcpp/impl/service_type.h"
#include "images/lease.h"

namespace ctrd::services {

std::unique_ptr<grpc::Service> MakeLeasesService(images::LeaseManager* leases,
                                                 CollectGarbage collect);

}  // namespace ctrd::services
