// SPDX-License-Identifier: Apache-2.0

// containerd.services.streaming.v1.Streaming: clients open streams, transfers use them. A stream
// costs no thread. Source document: docs/api/transfer.md (streaming).
#pragma once

#include <memory>

#include "daemon/services/streams.h"
#include "grpcpp/impl/service_type.h"

namespace ctrd::services {

// `streams` outlives the server.
std::unique_ptr<grpc::Service> MakeStreamingService(Streams* streams);

}  // namespace ctrd::services
