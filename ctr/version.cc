// SPDX-License-Identifier: Apache-2.0
// ctr version, info, deprecations.
#include "ctr/version.h"

#include <cstdio>

#include "base/identifiers.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/output.h"
#include "services/introspection/v1/introspection.grpc.pb.h"
#include "services/version/v1/version.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace introspection = containerd::services::introspection::v1;
namespace version = containerd::services::version::v1;

absl::Status ShowVersion(Invocation& invocation) {
  if (!invocation.arguments().empty()) {
    std::string quoted;
    for (const std::string& argument : invocation.arguments()) {
      quoted += (quoted.empty() ? "" : " ") + base::Quote(argument);
    }
    return base::Unknown("extra arguments: [{}]", quoted);
  }
  PrintLine("Client:");
  PrintLine(fmt::format("  Version:  {}", kVersion));
  PrintLine(fmt::format("  Revision: {}", kRevision));
  PrintLine("  Go version: none (C++, gcc " __VERSION__ ")");
  PrintLine("");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const auto server,
                   client.Call(&version::Version::Stub::Version, google::protobuf::Empty()));
  ASSIGN_OR_RETURN(const auto info, client.Call(&introspection::Introspection::Stub::Server,
                                                google::protobuf::Empty()));
  PrintLine("Server:");
  PrintLine("  Version:  " + server.version());
  PrintLine("  Revision: " + server.revision());
  PrintLine("  UUID: " + info.uuid());
  std::fflush(stdout);
  if (server.version() != kVersion) std::fputs("WARNING: version mismatch\n", stderr);
  if (server.revision() != kRevision) std::fputs("WARNING: revision mismatch\n", stderr);
  return absl::OkStatus();
}

absl::Status ShowInfo(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const auto server, client.Call(&introspection::Introspection::Stub::Server,
                                                  google::protobuf::Empty()));
  PrintJson(Json{{"server", ToJson(server)}});
  return absl::OkStatus();
}

absl::Status ListDeprecations(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const auto server, client.Call(&introspection::Introspection::Stub::Server,
                                                  google::protobuf::Empty()));
  if (server.deprecations().empty()) return absl::OkStatus();
  if (invocation.Text("format") == "json") {
    PrintJson(ToJson(server)["deprecations"]);
    return absl::OkStatus();
  }
  Table table(Table::kWide);
  table.Row({"ID", "LAST OCCURRENCE", "MESSAGE"});
  for (const auto& warning : server.deprecations()) {
    table.Row({warning.id(), Rfc3339(warning.last_occurrence()), warning.message()});
  }
  table.Print();
  return absl::OkStatus();
}

}  // namespace

Command VersionCommand() {
  return {.names = "version",
          .summary = "print the versions of client and daemon",
          .action = ShowVersion};
}

Command InfoCommand() {
  return {.names = "info", .summary = "print what the daemon says of itself", .action = ShowInfo};
}

Command DeprecationsCommand() {
  Command list{
      .names = "list", .summary = "what was used and will go away", .action = ListDeprecations};
  list.flags = {{FlagKind::kText, "format", "default or json", "default"}};
  return {.names = "deprecations", .summary = "uses of what will go away", .commands = {list}};
}

}  // namespace ctrd::ctr
