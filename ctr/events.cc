// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <cstdio>

#include "base/json.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/output.h"
#include "ctrd/events/v1/replay.grpc.pb.h"
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
namespace replay = ::ctrd::events::v1;

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
  if (descriptor == nullptr) return base::DumpJson(ToJson(event));
  const std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  return message->ParseFromString(event.value()) ? base::DumpJson(ToJson(*message))
                                                 : base::DumpJson(ToJson(event));
}

std::string LineOf(const containerd::types::Envelope& envelope) {
  return fmt::format("{} {} {} {}", GoTime(envelope.timestamp()), envelope.namespace_(),
                     envelope.topic(), PayloadOf(envelope.event()));
}

void PrintNow(const std::string& line) {
  PrintLine(line);
  std::fflush(stdout);
}

// Every line begins with the cursor to go on from: docs/api/event-replay.md.
absl::Status Replay(const Client& client, Invocation& invocation) {
  const std::string since = invocation.Text("since");
  replay::ReadRequest request;
  request.set_after(since == "oldest" ? "" : since);
  request.set_follow(!invocation.Switch("no-follow"));
  for (const std::string& filter : invocation.arguments()) request.add_filters(filter);
  return client.Stream(
      &replay::Replay::Stub::Read, request, [](const replay::ReadResponse& response) {
        if (response.has_gap()) {
          PrintNow(fmt::format("{} gap {}", response.cursor(), response.gap().events()));
        } else if (response.has_envelope()) {
          PrintNow(fmt::format("{} {}", response.cursor(), LineOf(response.envelope())));
        } else {
          PrintNow(response.cursor());
        }
        return absl::OkStatus();
      });
}

absl::Status Follow(Invocation& invocation) {
  KnowEvents();
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  if (!invocation.Text("since").empty()) return Replay(client, invocation);
  if (invocation.Switch("no-follow")) {
    return absl::InvalidArgumentError("--no-follow needs --since");
  }
  api::SubscribeRequest request;
  for (const std::string& filter : invocation.arguments()) request.add_filters(filter);
  return client.Stream(&api::Events::Stub::Subscribe, request,
                       [](const containerd::types::Envelope& envelope) {
                         PrintNow(LineOf(envelope));
                         return absl::OkStatus();
                       });
}

}  // namespace

Command EventsCommand() {
  return {.names = "events,event",
          .summary = "print events as they happen",
          .arguments = "[<filter>, ...]",
          .description =
              "With --since, from the daemon's log (this daemon only): each line begins with "
              "the cursor to go on from.",
          .flags = {{FlagKind::kText, "since", "a cursor, \"oldest\" or \"end\""},
                    {FlagKind::kSwitch, "no-follow", "end with the events that there are"}},
          .action = Follow};
}

}  // namespace ctrd::ctr
