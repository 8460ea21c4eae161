// SPDX-License-Identifier: Apache-2.0

// containerd.services.introspection.v1.Introspection and …version.v1.Version: what this daemon is.
// Source document: docs/operations.md.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/any.h"
#include "base/context.h"
#include "daemon/plugin/registry.h"
#include "grpcpp/impl/service_type.h"

namespace ctrd::services {

// Extra information of a plugin for PluginInfo; kUnimplemented where there is none.
using PluginExtra = std::function<absl::StatusOr<base::Any>(
    const base::Context& context, const plugin::Record& record, const base::Any& options)>;

// `root` holds the file `uuid`, by which this node is known; it is made by the first call.
std::unique_ptr<grpc::Service> MakeIntrospectionService(const plugin::Registry* registry,
                                                        std::string root, PluginExtra extra);

std::unique_ptr<grpc::Service> MakeVersionService();

}  // namespace ctrd::services
