// SPDX-License-Identifier: Apache-2.0

// containerd.services.images.v1.Images. Source document: docs/api/images.md.
#pragma once

#include <memory>

#include "daemon/services/collect.h"
#include "grpcpp/impl/service_type.h"
#include "images/image_store.h"

namespace ctrd::services {

std::unique_ptr<grpc::Service> MakeImagesService(images::ImageStore* images,
                                                 CollectGarbage collect);

}  // namespace ctrd::services
