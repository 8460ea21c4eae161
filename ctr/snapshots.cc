// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "base/digest.h"
#include "base/files.h"
#include "base/time.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/image_reader.h"
#include "ctr/output.h"
#include "ctr/snapshot_diff.h"
#include "ctr/unpack.h"
#include "images/spec/media_types.h"
#include "services/content/v1/content.grpc.pb.h"
#include "services/images/v1/images.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::snapshots::v1;
namespace content = containerd::services::content::v1;
using Stub = api::Snapshots::Stub;
using Mounts = google::protobuf::RepeatedPtrField<containerd::types::Mount>;

constexpr char kGcRootLabel[] = "containerd.io/gc.root";

// The connection, and the snapshotter that the group's flag names.
struct Session {
  Client client;
  std::string snapshotter;
};

absl::StatusOr<Session> Open(const Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(std::string snapshotter,
                   ResolveSnapshotter(client, invocation.Text("snapshotter")));
  return Session{std::move(client), std::move(snapshotter)};
}

std::string KindName(api::Kind kind) {
  switch (kind) {
    case api::VIEW:
      return "View";
    case api::ACTIVE:
      return "Active";
    case api::COMMITTED:
      return "Committed";
    default:
      return "Unknown";
  }
}

std::string NowAsLabel() {
  return base::FormatRfc3339(absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now())));
}

absl::StatusOr<std::vector<api::Info>> ListAll(const Session& session) {
  api::ListSnapshotsRequest request;
  request.set_snapshotter(session.snapshotter);
  std::vector<api::Info> infos;
  RETURN_IF_ERROR(
      session.client.Stream(&Stub::List, request, [&](const api::ListSnapshotsResponse& part) {
        infos.insert(infos.end(), part.info().begin(), part.info().end());
        return absl::OkStatus();
      }));
  return infos;
}

template <typename Request>
Request RequestFor(const Session& session, const std::string& key) {
  Request request;
  request.set_snapshotter(session.snapshotter);
  request.set_key(key);
  return request;
}

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  ASSIGN_OR_RETURN(const auto infos, ListAll(session));
  Table table(Table::kNarrow);
  table.Row({"KEY", "PARENT", "KIND"});
  for (const auto& info : infos) table.Row({info.name(), info.parent(), KindName(info.kind())});
  table.Print();
  return absl::OkStatus();
}

void PrintTree(const std::multimap<std::string, std::string>& children, const std::string& name,
               int level) {
  PrintLine(level == 0 ? " " + name
                       : std::string(static_cast<size_t>(2 * level), ' ') + "\\_ " + name);
  const auto [first, last] = children.equal_range(name);
  for (auto child = first; child != last; ++child) PrintTree(children, child->second, level + 1);
}

absl::Status Tree(Invocation& invocation) {
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  ASSIGN_OR_RETURN(const auto infos, ListAll(session));
  std::multimap<std::string, std::string> children;
  for (const auto& info : infos) children.emplace(info.parent(), info.name());
  const auto [first, last] = children.equal_range("");
  for (auto root = first; root != last; ++root) PrintTree(children, root->second, 0);
  return absl::OkStatus();
}

absl::Status Info(Invocation& invocation) {
  if (invocation.arguments().size() != 1) {
    invocation.ShowHelp();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  ASSIGN_OR_RETURN(const auto response,
                   session.client.Call(&Stub::Stat, RequestFor<api::StatSnapshotRequest>(
                                                        session, invocation.Argument(0))));
  const api::Info& info = response.info();
  Json json{{"Kind", KindName(info.kind())}, {"Name", info.name()}};
  if (!info.parent().empty()) json["Parent"] = info.parent();
  if (!info.labels().empty()) {
    json["Labels"] = std::map<std::string, std::string>(info.labels().begin(), info.labels().end());
  }
  json["Created"] = Rfc3339(info.created_at());
  json["Updated"] = Rfc3339(info.updated_at());
  PrintJson(json);
  return absl::OkStatus();
}

absl::Status Usage(Invocation& invocation) {
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  std::vector<std::string> keys = invocation.arguments();
  if (keys.empty()) {
    ASSIGN_OR_RETURN(const auto infos, ListAll(session));
    for (const auto& info : infos) keys.push_back(info.name());
  }
  Table table(Table::kNarrow);
  table.Row({"KEY", "SIZE", "INODES"});
  for (const std::string& key : keys) {
    ASSIGN_OR_RETURN(
        const auto usage,
        session.client.Call(&Stub::Usage, RequestFor<api::UsageRequest>(session, key)));
    table.Row({key,
               invocation.Switch("b") ? std::to_string(usage.size()) : BinarySize(usage.size()),
               std::to_string(usage.inodes())});
  }
  table.Print();
  return absl::OkStatus();
}

void PrintMountCommands(const Mounts& mounts, const std::string& target) {
  for (const auto& mount : mounts) {
    std::string options;
    for (const std::string& option : mount.options()) {
      options += (options.empty() ? "" : ",") + option;
    }
    const std::string where = mount.target().empty() ? target : target + "/" + mount.target();
    PrintLine(fmt::format("mount -t {} {} {} -o {}", mount.type(), mount.source(), where, options));
  }
}

void PrintMountsAsJson(const Mounts& mounts) {
  Json list = Json::array();
  for (const auto& mount : mounts) {
    Json entry{{"Type", mount.type()}, {"Source", mount.source()}};
    if (!mount.target().empty()) entry["Target"] = mount.target();
    entry["Options"] = std::vector<std::string>(mount.options().begin(), mount.options().end());
    list.push_back(std::move(entry));
  }
  PrintJson(list);
}

void PrintMounts(const Invocation& invocation, const Mounts& mounts) {
  if (!invocation.Text("target").empty()) PrintMountCommands(mounts, invocation.Text("target"));
  if (invocation.Switch("mounts")) PrintMountsAsJson(mounts);
}

absl::Status Prepare(Invocation& invocation) {
  if (invocation.arguments().empty() || invocation.arguments().size() > 2) {
    invocation.ShowHelp();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  auto request = RequestFor<api::PrepareSnapshotRequest>(session, invocation.Argument(0));
  request.set_parent(invocation.Argument(1));
  (*request.mutable_labels())[kGcRootLabel] = NowAsLabel();
  ASSIGN_OR_RETURN(const auto response, session.client.Call(&Stub::Prepare, request));
  PrintMounts(invocation, response.mounts());
  return absl::OkStatus();
}

absl::Status View(Invocation& invocation) {
  if (invocation.arguments().empty() || invocation.arguments().size() > 2) {
    invocation.ShowHelp();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  auto request = RequestFor<api::ViewSnapshotRequest>(session, invocation.Argument(0));
  request.set_parent(invocation.Argument(1));
  ASSIGN_OR_RETURN(const auto response, session.client.Call(&Stub::View, request));
  PrintMounts(invocation, response.mounts());
  return absl::OkStatus();
}

absl::Status ShowMounts(Invocation& invocation) {
  if (invocation.arguments().size() != 2) {
    invocation.ShowHelp();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  ASSIGN_OR_RETURN(const auto response,
                   session.client.Call(&Stub::Mounts, RequestFor<api::MountsRequest>(
                                                          session, invocation.Argument(1))));
  PrintMountCommands(response.mounts(), invocation.Argument(0));
  return absl::OkStatus();
}

absl::Status Commit(Invocation& invocation) {
  if (invocation.arguments().size() != 2) {
    invocation.ShowHelp();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  auto request = RequestFor<api::CommitSnapshotRequest>(session, invocation.Argument(1));
  request.set_name(invocation.Argument(0));
  (*request.mutable_labels())[kGcRootLabel] = NowAsLabel();
  return session.client.Call(&Stub::Commit, request).status();
}

absl::Status Remove(Invocation& invocation) {
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  for (const std::string& key : invocation.arguments()) {
    const auto request = RequestFor<api::RemoveSnapshotRequest>(session, key);
    const absl::Status status = session.client.Call(&Stub::Remove, request).status();
    if (!status.ok()) return base::Annotate(status, "failed to remove " + base::Quote(key));
  }
  return absl::OkStatus();
}

absl::Status Label(Invocation& invocation) {
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  api::UpdateSnapshotRequest request;
  request.set_snapshotter(session.snapshotter);
  request.mutable_info()->set_name(invocation.Argument(0));
  for (const auto& [key, value] : ParseLabels(invocation.ArgumentsFrom(1), "true")) {
    (*request.mutable_info()->mutable_labels())[key] = value;
    request.mutable_update_mask()->add_paths("labels." + key);
  }
  ASSIGN_OR_RETURN(const auto response, session.client.Call(&Stub::Update, request));
  PrintLine(JoinLabels(response.info().labels(), ""));
  return absl::OkStatus();
}

absl::Status Diff(Invocation& invocation) {
  if (invocation.Argument(0).empty()) {
    invocation.ShowHelp();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(session.client));
  DiffOptions options{
      .media_type = invocation.Text("media-type"), .ref = invocation.Text("ref"), .labels = {}};
  for (const auto& [key, value] : ParseLabels(invocation.List("label"), "true")) {
    options.labels[key] = value;
  }
  if (invocation.Switch("keep")) options.labels[kGcRootLabel] = NowAsLabel();
  ASSIGN_OR_RETURN(const auto descriptor,
                   DiffSnapshots(session.client, session.snapshotter, invocation.Argument(0),
                                 invocation.Argument(1), options));
  content::ReadContentRequest request;
  request.set_digest(descriptor.digest());
  return session.client.Stream(&content::Content::Stub::Read, request,
                               [](const content::ReadContentResponse& part) {
                                 return base::WriteAll(STDOUT_FILENO, part.data(), "output");
                               });
}

absl::Status UnpackManifest(Invocation& invocation) {
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(invocation.Argument(0)));
  ASSIGN_OR_RETURN(Session session, Open(invocation));
  ASSIGN_OR_RETURN(const auto response,
                   session.client.Call(&containerd::services::images::v1::Images::Stub::List,
                                       containerd::services::images::v1::ListImagesRequest()));
  for (const auto& image : response.images()) {
    if (image.target().digest() != digest.text()) continue;
    Print(fmt::format("unpacking {} ({})...", digest.text(), image.target().media_type()));
    ASSIGN_OR_RETURN(const ResolvedImage resolved,
                     ResolveImage(session.client, FromProto(image.target()),
                                  images::PlatformMatcher::Only(images::HostPlatform())));
    RETURN_IF_ERROR(Unpack(session.client, session.snapshotter, resolved));
    PrintLine("done");
    return absl::OkStatus();
  }
  return base::Unknown("manifest not found");
}

}  // namespace

Command SnapshotsCommand() {
  const std::vector<Flag> mount_flags = {
      {FlagKind::kText, "target,t", "print the commands that mount it there"},
      {FlagKind::kSwitch, "mounts", "print the mounts as JSON"}};
  Command usage{.names = "usage",
                .summary = "show what snapshots occupy",
                .arguments = "[flags] [<key>, ...]",
                .action = Usage};
  usage.flags = {{FlagKind::kSwitch, "b", "sizes in bytes"}};
  Command make_diff{.names = "diff",
                    .summary = "write the difference of two snapshots, or of one and its parent",
                    .arguments = "[flags] <idA> [<idB>]",
                    .action = Diff};
  make_diff.flags = {{FlagKind::kText, "media-type", "media type of the result",
                      std::string(images::kOciLayerGzip)},
                     {FlagKind::kText, "ref", "name of the ingest"},
                     {FlagKind::kSwitch, "keep", "keep the blob"},
                     LabelFlag("labels of the blob")};
  Command unpack{.names = "unpack",
                 .summary = "make the snapshots of an image's layers",
                 .arguments = "[flags] <digest>",
                 .action = UnpackManifest};
  unpack.flags = {SnapshotterFlag(), {FlagKind::kSwitch, "sync-fs", "write everything to disk"}};
  Command group{
      .names = "snapshots,snapshot", .summary = "manage snapshots", .flags = {SnapshotterFlag()}};
  group.commands = {
      {.names = "commit",
       .summary = "commit an active snapshot",
       .arguments = "<key> <active>",
       .action = Commit},
      make_diff,
      {.names = "info", .summary = "show a snapshot", .arguments = "<key>", .action = Info},
      {.names = "list,ls", .summary = "list snapshots", .action = List},
      {.names = "mounts,m,mount",
       .summary = "print the commands that mount a snapshot",
       .arguments = "<target> <key>",
       .action = ShowMounts},
      {.names = "prepare",
       .summary = "start an active snapshot",
       .arguments = "[flags] <key> [<parent>]",
       .flags = mount_flags,
       .action = Prepare},
      {.names = "delete,del,remove,rm",
       .summary = "remove snapshots",
       .arguments = "<key> [<key>, ...]",
       .action = Remove},
      {.names = "label",
       .summary = "set labels; an empty value removes one",
       .arguments = "<name> [<label>=<value> ...]",
       .action = Label},
      {.names = "tree", .summary = "show which snapshot stands on which", .action = Tree},
      unpack,
      usage,
      {.names = "view",
       .summary = "start a read-only snapshot",
       .arguments = "[flags] <key> [<parent>]",
       .flags = mount_flags,
       .action = View},
  };
  return group;
}

}  // namespace ctrd::ctr
