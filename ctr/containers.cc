// SPDX-License-Identifier: Apache-2.0
#include "base/identifiers.h"
#include "base/json.h"
#include "base/status.h"
#include "ctr/checkpoint.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/container_create.h"
#include "ctr/container_flags.h"
#include "ctr/output.h"
#include "ctr/task.h"
#include "services/containers/v1/containers.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::containers::v1;
using Stub = api::Containers::Stub;

absl::Status Create(Invocation& invocation) {
  if (!invocation.Text("config").empty()) {
    if (invocation.arguments().size() != 1) {
      return base::InvalidArgument("with spec config file, only container id should be provided");
    }
  } else {
    if (invocation.Argument(0).empty()) return base::InvalidArgument("image ref must be provided");
    if (invocation.Argument(1).empty()) {
      return base::InvalidArgument("container id must be provided");
    }
  }
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  return CreateContainer(invocation, client).status();
}

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  api::ListContainersRequest request;
  for (const std::string& filter : invocation.arguments()) request.add_filters(filter);
  ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::List, request));
  Table table(Table::kWide);
  if (!invocation.Switch("quiet")) table.Row({"CONTAINER", "IMAGE", "RUNTIME"});
  for (const api::Container& container : response.containers()) {
    if (invocation.Switch("quiet")) {
      PrintLine(container.id());
    } else {
      table.Row({container.id(), container.image().empty() ? "-" : container.image(),
                 container.runtime().name()});
    }
  }
  table.Print();
  return absl::OkStatus();
}

// An Any as the Go client's JSON has it.
Json AnyToJson(const google::protobuf::Any& any) {
  Json json{{"type_url", any.type_url()}};
  if (!any.value().empty()) json["value"] = ToJson(any)["value"];
  return json;
}

Json Describe(const api::Container& container, const Json& spec) {
  Json json{{"ID", container.id()}};
  json["Labels"] =
      std::map<std::string, std::string>(container.labels().begin(), container.labels().end());
  if (container.labels().empty()) json["Labels"] = nullptr;
  json["Image"] = container.image();
  json["Runtime"] = Json{{"Name", container.runtime().name()}, {"Options", nullptr}};
  if (container.runtime().has_options()) {
    json["Runtime"]["Options"] = AnyToJson(container.runtime().options());
  }
  json["SnapshotKey"] = container.snapshot_key();
  json["Snapshotter"] = container.snapshotter();
  json["CreatedAt"] = Rfc3339(container.created_at());
  json["UpdatedAt"] = Rfc3339(container.updated_at());
  json["Extensions"] = nullptr;
  for (const auto& [name, any] : std::map<std::string, google::protobuf::Any>(
           container.extensions().begin(), container.extensions().end())) {
    json["Extensions"][name] = AnyToJson(any);
  }
  if (!container.sandbox().empty()) json["SandboxID"] = container.sandbox();
  json["Spec"] = spec;
  return json;
}

absl::Status Info(Invocation& invocation) {
  if (invocation.Argument(0).empty()) return base::InvalidArgument("container id must be provided");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const api::Container container, GetContainer(client, invocation.Argument(0)));
  Json spec = base::ParseJson<Json>(container.spec().value());
  if (spec.is_discarded()) spec = AnyToJson(container.spec());
  PrintJson(invocation.Switch("spec") ? spec : Describe(container, spec));
  return absl::OkStatus();
}

absl::Status DeleteOne(const Client& client, const std::string& id, bool keep_snapshot) {
  ASSIGN_OR_RETURN(const api::Container container, GetContainer(client, id));
  const auto task = GetTask(client, id);
  if (!task.ok() && !absl::IsNotFound(task.status())) return task.status();
  if (task.ok()) {
    if (task->status() != containerd::v1::types::STOPPED &&
        task->status() != containerd::v1::types::CREATED) {
      return base::Unknown("cannot delete a non stopped container: {{{} {} {}}}",
                           StateName(task->status()), task->exit_status(),
                           "0001-01-01 00:00:00 +0000 UTC");
    }
    RETURN_IF_ERROR(DeleteTask(client, id, /*force=*/true).status());
  }
  return DeleteContainer(client, container, keep_snapshot);
}

absl::Status Delete(Invocation& invocation) {
  if (invocation.arguments().empty()) {
    return base::InvalidArgument("must specify at least one container to delete");
  }
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  absl::Status first_error;
  for (const std::string& id : invocation.arguments()) {
    const absl::Status status = DeleteOne(client, id, invocation.Switch("keep-snapshot"));
    if (status.ok()) continue;
    if (first_error.ok()) first_error = status;
    LogError("failed to delete container " + base::Quote(id), status);
  }
  return first_error;
}

absl::Status Label(Invocation& invocation) {
  const std::string id = invocation.Argument(0);
  if (id.empty()) return base::InvalidArgument("container id must be provided");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  const auto labels = ParseLabels(invocation.ArgumentsFrom(1), "true");
  if (labels.empty()) {
    ASSIGN_OR_RETURN(const api::Container container, GetContainer(client, id));
    PrintLine(JoinLabels(container.labels(), ""));
    return absl::OkStatus();
  }
  api::UpdateContainerRequest request;
  request.mutable_container()->set_id(id);
  for (const auto& [key, value] : labels) {
    (*request.mutable_container()->mutable_labels())[key] = value;
    request.mutable_update_mask()->add_paths("labels." + key);
  }
  ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::Update, request));
  // Daemons keep a label whose value is empty; it means "removed".
  std::map<std::string, std::string> shown(response.container().labels().begin(),
                                           response.container().labels().end());
  std::erase_if(shown, [](const auto& label) { return label.second.empty(); });
  PrintLine(JoinLabels(shown, ""));
  return absl::OkStatus();
}

}  // namespace

Command ContainersCommand() {
  Command remove{.names = "delete,del,remove,rm",
                 .summary = "delete containers that do not run",
                 .arguments = "[flags] CONTAINER [CONTAINER, ...]",
                 .action = Delete};
  remove.flags = {{FlagKind::kSwitch, "keep-snapshot", "leave the snapshot"}};
  Command info{
      .names = "info", .summary = "show a container", .arguments = "CONTAINER", .action = Info};
  info.flags = {{FlagKind::kSwitch, "spec", "only its specification"}};
  Command group{.names = "containers,c,container", .summary = "manage containers"};
  group.commands = {
      {.names = "create",
       .summary = "create a container",
       .arguments = "[flags] Image|RootFS CONTAINER [COMMAND] [ARG...]",
       .flags = ContainerFlags(),
       .action = Create},
      remove,
      info,
      {.names = "list,ls",
       .summary = "list containers",
       .arguments = "[flags] [<filter>, ...]",
       .flags = {QuietFlag("the ids")},
       .action = List},
      {.names = "label",
       .summary = "set labels; an empty value removes one",
       .arguments = "[flags] CONTAINER [<key>=<value>, ...]",
       .action = Label},
      ContainerCheckpointCommand(),
      ContainerRestoreCommand(),
  };
  return group;
}

}  // namespace ctrd::ctr
