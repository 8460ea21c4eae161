// SPDX-License-Identifier: Apache-2.0

// containerd.services.sandbox.v1.Controller: runs sandboxes with the controller a request names,
// and tells of it. A Wait costs no thread. Source document: docs/api/sandboxes.md.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/event.h"
#include "daemon/metadata/sandbox_store.h"
#include "grpcpp/impl/service_type.h"
#include "runtime/sandbox_runtime.h"

namespace ctrd::services {

// Controllers by their names; a request that names none means kDefaultSandboxer. All is borrowed.
using SandboxControllers = std::map<std::string, runtime::SandboxRuntime*>;
inline constexpr char kDefaultSandboxer[] = "shim";

std::unique_ptr<grpc::Service> MakeSandboxControllerService(SandboxControllers controllers,
                                                            metadata::SandboxStore* sandboxes,
                                                            base::EventSink* events);

}  // namespace ctrd::services
