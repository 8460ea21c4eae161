// SPDX-License-Identifier: Apache-2.0
#include "base/identifiers.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/output.h"
#include "services/namespaces/v1/namespace.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::namespaces::v1;
using Stub = api::Namespaces::Stub;

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::List, api::ListNamespacesRequest()));
  Table table(Table::kNarrow);
  if (!invocation.Switch("quiet")) table.Row({"NAME", "LABELS"});
  for (const auto& entry : response.namespaces()) {
    if (invocation.Switch("quiet")) {
      PrintLine(entry.name());
    } else {
      table.Row({entry.name(), JoinLabels(entry.labels(), "")});
    }
  }
  table.Print();
  return absl::OkStatus();
}

absl::Status Create(Invocation& invocation) {
  if (invocation.Argument(0).empty()) return base::Unknown("please specify a namespace");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::CreateNamespaceRequest request;
  request.mutable_namespace_()->set_name(invocation.Argument(0));
  for (const auto& [key, value] : ParseLabels(invocation.ArgumentsFrom(1), "true")) {
    (*request.mutable_namespace_()->mutable_labels())[key] = value;
  }
  return client.Call(&Stub::Create, request).status();
}

absl::Status Label(Invocation& invocation) {
  if (invocation.Argument(0).empty()) return base::Unknown("please specify a namespace");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  for (const auto& [key, value] : ParseLabels(invocation.ArgumentsFrom(1), "true")) {
    api::UpdateNamespaceRequest request;
    request.mutable_namespace_()->set_name(invocation.Argument(0));
    (*request.mutable_namespace_()->mutable_labels())[key] = value;
    request.mutable_update_mask()->add_paths("labels." + key);
    RETURN_IF_ERROR(client.Call(&Stub::Update, request).status());
  }
  return absl::OkStatus();
}

absl::Status Remove(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  absl::Status first_error;
  for (const std::string& name : invocation.arguments()) {
    api::DeleteNamespaceRequest request;
    request.set_name(name);
    const absl::Status status = client.Call(&Stub::Delete, request).status();
    if (!status.ok() && !absl::IsNotFound(status)) {
      if (first_error.ok()) first_error = base::Annotate(status, "unable to delete " + name);
      LogError("unable to delete " + name, status);
      continue;
    }
    PrintLine(name);
  }
  return first_error;
}

}  // namespace

Command NamespacesCommand() {
  Command group{.names = "namespaces,namespace,ns", .summary = "manage namespaces"};
  Command list{.names = "list,ls",
               .summary = "list namespaces",
               .arguments = "[flags]",
               .flags = {QuietFlag("the names")},
               .action = List};
  Command remove{.names = "remove,rm",
                 .summary = "remove empty namespaces",
                 .arguments = "<name> [<name>, ...]",
                 .action = Remove};
  remove.flags = {{FlagKind::kSwitch, "cgroup,c", "the namespace's cgroup too"}};
  group.commands = {
      {.names = "create,c",
       .summary = "create a namespace",
       .arguments = "<name> [<key>=<value>]",
       .action = Create},
      list,
      remove,
      {.names = "label",
       .summary = "set labels; an empty value removes one",
       .arguments = "<name> [<key>=<value>, ...]",
       .action = Label},
  };
  return group;
}

}  // namespace ctrd::ctr
