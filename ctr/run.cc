// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "base/files.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/container_create.h"
#include "ctr/container_flags.h"
#include "ctr/flag_values.h"
#include "ctr/output.h"
#include "ctr/task.h"
#include "ctr/task_flags.h"

namespace ctrd::ctr {
namespace {

using containerd::services::containers::v1::Container;

absl::Status CheckArguments(const Invocation& invocation) {
  if (!invocation.Text("config").empty()) {
    if (invocation.Argument(0).empty()) return base::Unknown("container id must be provided");
    if (invocation.arguments().size() > 1) {
      return base::Unknown("with spec config file, only container id should be provided");
    }
    return absl::OkStatus();
  }
  if (invocation.Argument(0).empty()) return base::Unknown("image ref must be provided");
  if (invocation.Argument(1).empty()) return base::Unknown("container id must be provided");
  if (invocation.Switch("rm") && invocation.Switch("detach")) {
    return base::Unknown("flags --detach and --rm cannot be specified together");
  }
  if (invocation.Switch("tty") && invocation.Switch("null-io")) {
    return base::Unknown("tty and null-io cannot be used together");
  }
  return absl::OkStatus();
}

// What the runc shim is told at creation, beyond what the container's record says: nothing, mostly.
absl::StatusOr<std::optional<containerd::runc::v1::Options>> TaskOptions(
    const Invocation& invocation) {
  const std::vector<std::string> uids = invocation.List("uidmap");
  if (!invocation.Switch("no-pivot") && uids.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(containerd::runc::v1::Options options, RuncOptions(invocation));
  options.set_no_pivot_root(invocation.Switch("no-pivot"));
  if (!uids.empty()) {
    ASSIGN_OR_RETURN(const auto uid_mappings, ParseIdMappings(uids));
    ASSIGN_OR_RETURN(const auto gid_mappings, ParseIdMappings(invocation.List("gidmap")));
    options.set_io_uid(uid_mappings[0].host_id);
    options.set_io_gid(gid_mappings[0].host_id);
  }
  return options;
}

absl::Status RunTask(Invocation& invocation, const Client& client, const Container& container) {
  ASSIGN_OR_RETURN(const auto options, TaskOptions(invocation));
  return StartTask(invocation, client, container, options ? &*options : nullptr);
}

absl::Status Run(Invocation& invocation) {
  RETURN_IF_ERROR(CheckArguments(invocation));
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const Container container, CreateContainer(invocation, client));
  const absl::Status status = RunTask(invocation, client, container);
  if (invocation.Switch("rm")) {
    const absl::Status removed = DeleteContainer(client, container, /*keep_snapshot=*/false);
    if (!removed.ok()) LogError("failed to cleanup container", removed);
  }
  return status;
}

}  // namespace

Command RunCommand() {
  Command command{.names = "run",
                  .summary = "run a container",
                  .arguments = "[flags] Image|RootFS ID [COMMAND] [ARG...]",
                  .action = Run};
  command.flags =
      Join({{{FlagKind::kSwitch, "rm", "remove the container afterwards; not with --detach"}},
            StartFlags(),
            RunResourceFlags(),
            ContainerFlags()});
  return command;
}

}  // namespace ctrd::ctr
