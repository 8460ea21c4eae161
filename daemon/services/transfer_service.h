// SPDX-License-Identifier: Apache-2.0

// containerd.services.transfer.v1.Transfer. A transfer runs on a thread of its own and ends when
// the call is cancelled. Source document: docs/api/transfer.md.
#pragma once

#include <memory>

#include "daemon/services/streams.h"
#include "grpcpp/impl/service_type.h"
#include "images/transfer/transfer.h"

namespace ctrd::services {

// Both outlive the service. Destroying the service cancels its transfers and waits for them.
std::unique_ptr<grpc::Service> MakeTransferService(transfer::Transfer* transfers, Streams* streams);

}  // namespace ctrd::services
