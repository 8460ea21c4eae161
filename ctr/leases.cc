// SPDX-License-Identifier: Apache-2.0
#include "base/identifiers.h"
#include "base/time.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/output.h"
#include "services/leases/v1/leases.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::leases::v1;
using Stub = api::Leases::Stub;

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::ListRequest request;
  for (const std::string& filter : invocation.arguments()) request.add_filters(filter);
  auto response = client.Call(&Stub::List, request);
  if (!response.ok()) return base::Annotate(response.status(), "failed to list leases");
  Table table(Table::kNarrow);
  if (!invocation.Switch("quiet")) table.Row({"ID", "CREATED AT", "LABELS"});
  for (const auto& lease : response->leases()) {
    if (invocation.Switch("quiet")) {
      PrintLine(lease.id());
    } else {
      table.Row({lease.id(), LocalRfc3339(lease.created_at()), JoinLabels(lease.labels())});
    }
  }
  table.Print();
  return absl::OkStatus();
}

absl::Status Create(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::CreateRequest request;
  request.set_id(invocation.Text("id").empty() ? base::GenerateName() : invocation.Text("id"));
  for (const std::string& argument : invocation.arguments()) {
    const size_t equals = argument.find('=');
    // A word without '=' is accepted and means nothing.
    if (equals == std::string::npos) continue;
    (*request.mutable_labels())[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  if (const absl::Duration life = invocation.Duration("expires"); life > absl::ZeroDuration()) {
    (*request.mutable_labels())["containerd.io/gc.expire"] =
        base::FormatRfc3339(absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now() + life)));
  }
  ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::Create, request));
  PrintLine(response.lease().id());
  return absl::OkStatus();
}

absl::Status Delete(Invocation& invocation) {
  if (invocation.arguments().empty()) {
    invocation.ShowHelp();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  const std::vector<std::string>& ids = invocation.arguments();
  for (size_t i = 0; i < ids.size(); ++i) {
    api::DeleteRequest request;
    request.set_id(ids[i]);
    request.set_sync(invocation.Switch("sync") && i + 1 == ids.size());
    RETURN_IF_ERROR(client.Call(&Stub::Delete, request).status());
    PrintLine(ids[i]);
  }
  return absl::OkStatus();
}

}  // namespace

Command LeasesCommand() {
  Command create{.names = "create",
                 .summary = "create a lease",
                 .arguments = "[flags] <label>=<value> ...",
                 .action = Create};
  create.flags = {{FlagKind::kText, "id", "the lease's id; made up if not given"},
                  {FlagKind::kDuration, "expires,x", "lifetime, 0 for no end", "24h0m0s"}};
  Command remove{.names = "delete,del,remove,rm",
                 .summary = "delete leases",
                 .arguments = "[flags] <lease id> ...",
                 .action = Delete};
  remove.flags = {{FlagKind::kSwitch, "sync", "wait until what nobody refers to is gone"}};
  Command group{.names = "leases", .summary = "manage leases"};
  group.commands = {{.names = "list,ls",
                     .summary = "list leases",
                     .arguments = "[flags] <filter>",
                     .flags = {QuietFlag("the ids")},
                     .action = List},
                    create,
                    remove};
  return group;
}

}  // namespace ctrd::ctr
