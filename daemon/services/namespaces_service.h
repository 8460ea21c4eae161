// SPDX-License-Identifier: Apache-2.0

// containerd.services.namespaces.v1.Namespaces. Source document: docs/api/names.md.
#pragma once

#include <memory>

#include "daemon/metadata/namespace_store.h"
#include "grpcpp/impl/service_type.h"

namespace ctrd::services {

std::unique_ptr<grpc::Service> MakeNamespacesService(metadata::NamespaceStore* namespaces);

}  // namespace ctrd::services
