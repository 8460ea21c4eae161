// SPDX-License-Identifier: Apache-2.0

// containerd.services.content.v1.Content over a namespaced content store.
// Source document: docs/api/content.md.
#pragma once

#include <memory>

#include "grpcpp/impl/service_type.h"
#include "images/content/content_store.h"

namespace ctrd::services {

std::unique_ptr<grpc::Service> MakeContentService(content::ContentStore* store);

}  // namespace ctrd::services
