// SPDX-License-Identifier: Apache-2.0

// containerd.services.snapshots.v1.Snapshots: picks a snapshotter by name and passes the call on.
// Source document: docs/api/snapshots.md.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "grpcpp/impl/service_type.h"
#include "snapshots/snapshotter.h"

namespace ctrd::services {

// The namespaced snapshotter of a name, or null.
using FindSnapshotter = std::function<snapshots::Snapshotter*(std::string_view name)>;

std::unique_ptr<grpc::Service> MakeSnapshotsService(FindSnapshotter find);

}  // namespace ctrd::services
