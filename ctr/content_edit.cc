// SPDX-License-Identifier: Apache-2.0
// Content changed by hand, and references between blobs dropped.
#include <algorithm>

#include "absl/time/clock.h"
#include "base/digest.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/process.h"
#include "ctr/client.h"
#include "ctr/content_commands.h"
#include "ctr/content_writer.h"
#include "ctr/output.h"
#include "services/leases/v1/leases.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::content::v1;
namespace leases = containerd::services::leases::v1;
using Stub = api::Content::Stub;

constexpr size_t kMostEditedBytes = 64 << 20;

absl::StatusOr<std::string> ReadBlob(const Client& client, const std::string& digest) {
  api::ReadContentRequest request;
  request.set_digest(digest);
  std::string data;
  RETURN_IF_ERROR(client.Stream(&Stub::Read, request, [&](const api::ReadContentResponse& part) {
    data += part.data();
    return data.size() > kMostEditedBytes ? base::Unknown("{} is too large to be edited", digest)
                                          : absl::OkStatus();
  }));
  return data;
}

// The user's editor, on our terminal, until it ends.
absl::Status RunEditor(const std::string& editor, const std::string& file) {
  ASSIGN_OR_RETURN(const base::Child child, base::Spawn({.argv = {"sh", "-c", editor + " " + file},
                                                         .environment = base::CurrentEnvironment(),
                                                         .descriptors = {{0, 0}, {1, 1}, {2, 2}}}));
  ASSIGN_OR_RETURN(const int code, base::WaitFor(child, absl::InfiniteFuture()));
  return code == 0 ? absl::OkStatus() : base::Unknown("exit status {}", code);
}

absl::StatusOr<std::string> Edited(const std::string& editor, std::string_view data) {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  ASSIGN_OR_RETURN(
      const std::string folder,
      base::MakeTempDirectory(runtime != nullptr && *runtime == '/' ? runtime : "/tmp", "edit-"));
  const std::string file = folder + "/blob";
  absl::Status status = base::WriteFileAtomically(file, data, 0600);
  if (status.ok()) status = RunEditor(editor, file);
  absl::StatusOr<std::string> edited =
      status.ok() ? base::ReadFile(file, kMostEditedBytes) : absl::StatusOr<std::string>(status);
  (void)base::RemoveTree(folder);  // A copy of what the store has.
  return edited;
}

absl::Status Edit(Invocation& invocation) {
  if (invocation.Switch("validate")) {
    return base::Unknown("validating the edit result not supported");
  }
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(invocation.Argument(0)));
  const std::string editor = invocation.Text("editor");
  if (editor.empty()) return base::Unknown("editor is required");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const std::string data, ReadBlob(client, digest.text()));
  ASSIGN_OR_RETURN(const std::string edited, Edited(editor, data));
  ASSIGN_OR_RETURN(const images::Descriptor written,
                   WriteBlob(client, "edit-" + digest.text(), "", edited));
  PrintLine(written.digest);
  return absl::OkStatus();
}

// Whether `label` makes its blob keep another one: a layer, or the child of some number but the
// first, which is the configuration.
bool IsReference(std::string_view label) {
  constexpr std::string_view kPrefix = "containerd.io/gc.ref.content.";
  if (!label.starts_with(kPrefix)) return false;
  label.remove_prefix(kPrefix.size());
  if (label.starts_with("l.")) return true;
  return !label.empty() && label != "0" &&
         std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
}

absl::Status DropReferences(const Client& client, bool only_tell) {
  std::vector<api::UpdateRequest> updates;
  RETURN_IF_ERROR(client.Stream(&Stub::List, api::ListContentRequest(),
                                [&](const api::ListContentResponse& part) {
                                  for (const api::Info& info : part.info()) {
                                    api::UpdateRequest update;
                                    update.mutable_info()->set_digest(info.digest());
                                    for (const auto& [key, value] : info.labels()) {
                                      if (!IsReference(key)) continue;
                                      (*update.mutable_info()->mutable_labels())[key] = "";
                                      update.mutable_update_mask()->add_paths("labels." + key);
                                    }
                                    if (!update.update_mask().paths().empty())
                                      updates.push_back(std::move(update));
                                  }
                                  return absl::OkStatus();
                                }));
  for (const api::UpdateRequest& update : updates) {
    for (const std::string& path : update.update_mask().paths()) {
      LogWarning((only_tell ? "would remove label " : "removing label ") + path.substr(7) + " of " +
                 update.info().digest());
    }
    if (!only_tell) RETURN_IF_ERROR(client.Call(&Stub::Update, update).status());
  }
  return absl::OkStatus();
}

absl::Status PruneReferences(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  RETURN_IF_ERROR(DropReferences(client, invocation.Switch("dry")));
  if (invocation.Switch("dry")) return absl::OkStatus();
  // A lease that goes makes the collector run.
  leases::CreateRequest lease;
  lease.set_id(base::GenerateName());
  RETURN_IF_ERROR(client.Call(&leases::Leases::Stub::Create, lease).status());
  leases::DeleteRequest removal;
  removal.set_id(lease.id());
  removal.set_sync(!invocation.Switch("async"));
  return client.Call(&leases::Leases::Stub::Delete, removal).status();
}

}  // namespace

Command ContentEditCommand() {
  Command command{.names = "edit",
                  .summary = "edit a blob, and print the digest of the result",
                  .arguments = "[flags] <digest>",
                  .action = Edit};
  command.flags = {{FlagKind::kSwitch, "validate", "not supported"},
                   {FlagKind::kText, "editor", "the editor", "", "EDITOR"}};
  return command;
}

Command ContentPruneCommand() {
  Command references{.names = "references",
                     .summary = "drop references from manifests to what can be fetched again",
                     .action = PruneReferences};
  references.flags = {{FlagKind::kSwitch, "async", "do not wait for the collector"},
                      {FlagKind::kSwitch, "dry", "only say what would be dropped"}};
  return {.names = "prune", .summary = "drop content", .commands = {references}};
}

}  // namespace ctrd::ctr
