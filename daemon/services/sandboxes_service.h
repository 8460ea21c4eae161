// SPDX-License-Identifier: Apache-2.0

// containerd.services.sandbox.v1.Store: the records of sandboxes.
// Source document: docs/api/sandboxes.md.
#pragma once

#include <memory>

#include "daemon/metadata/sandbox_store.h"
#include "grpcpp/impl/service_type.h"
#include "types/sandbox.pb.h"

namespace ctrd::services {

std::unique_ptr<grpc::Service> MakeSandboxesService(metadata::SandboxStore* sandboxes);

metadata::Sandbox FromProto(const containerd::types::Sandbox& proto);

}  // namespace ctrd::services
