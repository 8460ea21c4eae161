// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <cstdio>

#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/output.h"
#include "events/container.pb.h"
#include "events/content.pb.h"
#include "events/image.pb.h"
#include "events/namespace.pb.h"
#include "events/sandbox.pb.h"
#include "events/snapshot.pb.h"
#include "events/task.pb.h"
#include "services/events/v1/events.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::events::v1;

// The linker keeps, and the pool knows, only what is referred to.
void KnowEvents() {
  (void)containerd::events::ContainerCreate::descriptor();
  (void)containerd::events::ContentCreate::descriptor();
  (void)containerd::services::images::v1::ImageCreate::descriptor();
  (void)containerd::events::NamespaceCreate::descriptor();
  (void)containerd::events::SandboxCreate::descriptor();
  (void)containerd::events::SnapshotPrepare::descriptor();
  (void)containerd::events::TaskCreate::descriptor();
}

std::string PayloadOf(const google::protobuf::Any& event) {
  const std::string& type = event.type_url();
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
          type.substr(type.rfind('/') + 1));
  if (descriptor == nullptr) return Dump(ToJson(event));
  const std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  return message->ParseFromString(event.value()) ? Dump(ToJson(*message)) : Dump(ToJson(event));
}

absl::Status Follow(Invocation& invocation) {
  KnowEvents();
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::SubscribeRequest request;
  for (const std::string& filter : invocation.arguments()) request.add_filters(filter);
  return client.Stream(
      &api::Events::Stub::Subscribe, request, [](const containerd::types::Envelope& envelope) {
        PrintLine(fmt::format("{} {} {} {}", GoTime(envelope.timestamp()), envelope.namespace_(),
                              envelope.topic(), PayloadOf(envelope.event())));
        std::fflush(stdout);
        return absl::OkStatus();
      });
}

}  // namespace

Command EventsCommand() {
  return {.names = "events,event",
          .summary = "print events as they happen",
          .arguments = "[<filter>, ...]",
          .action = Follow};
}

}  // namespace ctrd::ctr
