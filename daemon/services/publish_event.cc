// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/publish_event.h"

#include <unistd.h>

#include <chrono>

#include "base/files.h"
#include "base/status.h"
#include "daemon/server/serve.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "services/events/v1/events.grpc.pb.h"

namespace ctrd::services {
namespace {

constexpr size_t kMaxEventBytes = 4 << 20;
constexpr std::chrono::seconds kTimeout(10);

}  // namespace

absl::Status PublishFromStandardInput(const std::string& address, const std::string& name_space,
                                      const std::string& topic) {
  if (topic.empty()) return base::InvalidArgument("topic required to publish event");
  ASSIGN_OR_RETURN(const std::string encoded,
                   base::ReadAll(STDIN_FILENO, "standard input", kMaxEventBytes));
  containerd::services::events::v1::PublishRequest request;
  request.set_topic(topic);
  if (!request.mutable_event()->ParseFromString(encoded)) {
    return base::InvalidArgument("standard input holds no event");
  }
  const auto channel = grpc::CreateChannel("unix:" + address, grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  context.AddMetadata(server::kNamespaceHeader, name_space);
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  google::protobuf::Empty response;
  return server::FromGrpc(containerd::services::events::v1::Events::NewStub(channel)->Publish(
      &context, request, &response));
}

}  // namespace ctrd::services
