// SPDX-License-Identifier: Apache-2.0

// grpc.health.v1.Health: the daemon serves as long as it answers.
#pragma once

#include <memory>

#include "grpcpp/impl/service_type.h"

namespace ctrd::services {

std::unique_ptr<grpc::Service> MakeHealthService();

}  // namespace ctrd::services
