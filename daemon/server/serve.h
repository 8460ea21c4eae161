// SPDX-License-Identifier: Apache-2.0

// Between gRPC and the plain code below it: every handler runs inside Serve (sync handlers) or uses
// the pieces it is made of (reactors). Here, and nowhere else, the metadata of a call is read and a
// status becomes a gRPC one.
//
// Source documents: docs/api/names.md (metadata), docs/errors.md.
#pragma once

#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "base/context.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/status.h"

namespace ctrd::server {

inline constexpr char kNamespaceHeader[] = "containerd-namespace";
inline constexpr char kLeaseHeader[] = "containerd-lease";

// Namespace, lease and deadline of a call. Where a header came several times the first one counts.
base::Context ContextOf(const grpc::ServerContextBase& rpc);

// Code and message, unchanged.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// Runs a sync handler: `fn` gets the context of the call, its status becomes the answer. Failures
// are logged at debug level under `method` ("containers.Create").
grpc::Status Serve(grpc::ServerContextBase* rpc, std::string_view method,
                   const std::function<absl::Status(const base::Context&)>& fn);

}  // namespace ctrd::server
