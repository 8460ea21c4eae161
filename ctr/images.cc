// SPDX-License-Identifier: Apache-2.0
#include "ctr/images.h"

#include <algorithm>

#include "base/identifiers.h"
#include "ctr/cli/table.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/image_reader.h"
#include "ctr/output.h"
#include "ctr/unpack.h"
#include "services/containers/v1/containers.grpc.pb.h"
#include "services/images/v1/images.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::images::v1;
using Stub = api::Images::Stub;

images::PlatformMatcher HostMatcher() {
  return images::PlatformMatcher::Only(images::HostPlatform());
}

absl::StatusOr<std::vector<api::Image>> ListAll(const Client& client,
                                                const std::vector<std::string>& filters) {
  api::ListImagesRequest request;
  for (const std::string& filter : filters) request.add_filters(filter);
  const auto response = client.Call(&Stub::List, request);
  if (!response.ok()) return base::Annotate(response.status(), "failed to list images");
  return std::vector<api::Image>(response->images().begin(), response->images().end());
}

// The row stays useful when a document is missing: the problem is logged, the field says "-".
std::vector<std::string> Row(const Client& client, const api::Image& image) {
  const images::Descriptor target = FromProto(image.target());
  const auto size = DeclaredSize(client, target, HostMatcher());
  if (!size.ok()) LogError("failed calculating size for image " + image.name(), size.status());
  const auto found = PlatformsOf(client, target);
  if (!found.ok()) LogError("failed checking platform for image " + image.name(), found.status());
  std::string platforms;
  for (const std::string& platform : found.value_or(std::vector<std::string>())) {
    platforms += (platforms.empty() ? "" : ",") + platform;
  }
  return {image.name(),
          target.media_type,
          target.digest,
          BinarySize(size.value_or(0)),
          platforms.empty() ? "-" : platforms,
          JoinLabels(image.labels())};
}

absl::Status List(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const auto found, ListAll(client, invocation.arguments()));
  Table table(Table::kNarrow);
  if (!invocation.Switch("quiet")) {
    table.Row({"REF", "TYPE", "DIGEST", "SIZE", "PLATFORMS", "LABELS"});
  }
  for (const api::Image& image : found) {
    if (invocation.Switch("quiet")) {
      PrintLine(image.name());
    } else {
      table.Row(Row(client, image));
    }
  }
  table.Print();
  return absl::OkStatus();
}

struct Completeness {
  std::string status = "error";
  std::string size = "-";
  bool complete = false;
  bool unpacked = false;
};

Completeness Check(const Client& client, const std::string& snapshotter, const api::Image& image) {
  Completeness result;
  const auto manifest = ResolveManifest(client, FromProto(image.target()), HostMatcher(), nullptr);
  if (!manifest.ok()) {
    if (absl::IsNotFound(manifest.status())) {
      result.status = "unavailable (0/?)";
    } else {
      LogError("failed to check image " + base::Quote(image.name()), manifest.status());
    }
    return result;
  }
  std::vector<images::Descriptor> required = {manifest->config};
  required.insert(required.end(), manifest->layers.begin(), manifest->layers.end());
  int64_t required_bytes = 0;
  int64_t present_bytes = 0;
  size_t present = 0;
  for (const images::Descriptor& descriptor : required) {
    required_bytes += descriptor.size_bytes;
    if (!BlobExists(client, descriptor.digest)) continue;
    present_bytes += descriptor.size_bytes;
    ++present;
  }
  result.complete = present == required.size();
  result.status = fmt::format("{} ({}/{})", result.complete ? "complete" : "incomplete", present,
                              required.size());
  result.size = BinarySize(present_bytes) + "/" + BinarySize(required_bytes);
  const auto resolved = ResolveImage(client, FromProto(image.target()), HostMatcher());
  if (resolved.ok()) {
    const auto unpacked = IsUnpacked(client, snapshotter, resolved->chain_id);
    if (!unpacked.ok()) {
      LogError("failed to check unpack of image " + base::Quote(image.name()), unpacked.status());
    }
    result.unpacked = unpacked.value_or(false);
  }
  return result;
}

absl::Status CheckAll(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const std::string snapshotter,
                   ResolveSnapshotter(client, invocation.Text("snapshotter")));
  ASSIGN_OR_RETURN(const auto found, ListAll(client, invocation.arguments()));
  const bool quiet = invocation.Switch("quiet");
  Table table(Table::kNarrow);
  if (!quiet) table.Row({"REF", "TYPE", "DIGEST", "STATUS", "SIZE", "UNPACKED"});
  for (const api::Image& image : found) {
    const Completeness check = Check(client, snapshotter, image);
    if (quiet) {
      if (check.complete && check.unpacked) PrintLine(image.name());
      continue;
    }
    table.Write(fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", image.name(), image.target().media_type(),
                            image.target().digest(), check.status, check.size, check.unpacked));
  }
  table.Print();
  return absl::OkStatus();
}

absl::Status Remove(Invocation& invocation) {
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  const std::vector<std::string>& names = invocation.arguments();
  absl::Status first_error;
  for (size_t i = 0; i < names.size(); ++i) {
    api::DeleteImageRequest request;
    request.set_name(names[i]);
    request.set_sync(invocation.Switch("sync") && i + 1 == names.size());
    const absl::Status status = client.Call(&Stub::Delete, request).status();
    if (status.ok()) {
      PrintLine(names[i]);
    } else if (absl::IsNotFound(status)) {
      LogWarning(names[i] + ": image not found");
    } else {
      LogError("unable to delete " + names[i], status);
      if (first_error.ok()) first_error = base::Annotate(status, "unable to delete " + names[i]);
    }
  }
  return first_error;
}

absl::Status Label(Invocation& invocation) {
  const std::string name = invocation.Argument(0);
  if (name.empty()) return base::Unknown("please specify an image");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  const auto labels = ParseLabels(invocation.ArgumentsFrom(1), "true");
  if (labels.empty() && !invocation.Switch("replace-all")) {
    ASSIGN_OR_RETURN(const api::Image image, GetImage(client, name));
    PrintLine(JoinLabels(image.labels(), ""));
    return absl::OkStatus();
  }
  api::UpdateImageRequest request;
  request.mutable_image()->set_name(name);
  for (const auto& [key, value] : labels) {
    (*request.mutable_image()->mutable_labels())[key] = value;
    if (!invocation.Switch("replace-all"))
      request.mutable_update_mask()->add_paths("labels." + key);
  }
  if (invocation.Switch("replace-all")) request.mutable_update_mask()->add_paths("labels");
  ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::Update, request));
  PrintLine(JoinLabels(response.image().labels(), ""));
  return absl::OkStatus();
}

absl::Status Usage(Invocation& invocation) {
  namespace snapshots = containerd::services::snapshots::v1;
  if (invocation.Argument(0).empty()) return base::Unknown("please provide an image reference");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const std::string snapshotter,
                   ResolveSnapshotter(client, invocation.Text("snapshotter")));
  ASSIGN_OR_RETURN(const api::Image image, GetImage(client, invocation.Argument(0)));
  ASSIGN_OR_RETURN(const ResolvedImage resolved,
                   ResolveImage(client, FromProto(image.target()), HostMatcher()));
  Table table(Table::kNarrow);
  table.Row({"KEY", "SIZE", "INODES"});
  for (std::string key = resolved.chain_id; !key.empty();) {
    snapshots::UsageRequest request;
    request.set_snapshotter(snapshotter);
    request.set_key(key);
    ASSIGN_OR_RETURN(const auto usage, client.Call(&snapshots::Snapshots::Stub::Usage, request));
    table.Row({key, BinarySize(usage.size()), std::to_string(usage.inodes())});
    snapshots::StatSnapshotRequest stat;
    stat.set_snapshotter(snapshotter);
    stat.set_key(key);
    ASSIGN_OR_RETURN(const auto info, client.Call(&snapshots::Snapshots::Stub::Stat, stat));
    key = info.info().parent();
  }
  table.Print();
  return absl::OkStatus();
}

absl::Status Prune(Invocation& invocation) {
  namespace containers = containerd::services::containers::v1;
  if (!invocation.Switch("all")) {
    LogWarning("No images pruned. `image prune` requires --all");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const auto listed, client.Call(&containers::Containers::Stub::List,
                                                  containers::ListContainersRequest()));
  ASSIGN_OR_RETURN(std::vector<api::Image> found, ListAll(client, {}));
  std::erase_if(found, [&](const api::Image& image) {
    return std::any_of(listed.containers().begin(), listed.containers().end(),
                       [&](const auto& container) { return container.image() == image.name(); });
  });
  for (size_t i = 0; i < found.size(); ++i) {
    api::DeleteImageRequest request;
    request.set_name(found[i].name());
    request.set_sync(i + 1 == found.size());
    RETURN_IF_ERROR(client.Call(&Stub::Delete, request).status());
    PrintLine(found[i].name());
  }
  return absl::OkStatus();
}

}  // namespace

Command ImagesCommand() {
  Command remove{.names = "delete,del,remove,rm",
                 .summary = "remove images",
                 .arguments = "[flags] <ref> [<ref>, ...]",
                 .action = Remove};
  remove.flags = {{FlagKind::kSwitch, "sync", "wait until content and snapshots are gone"}};
  Command label{.names = "label",
                .summary = "set labels; an empty value removes one",
                .arguments = "[flags] <name> [<key>=<value>, ...]",
                .action = Label};
  label.flags = {{FlagKind::kSwitch, "replace-all,r", "remove all other labels"}};
  Command prune{.names = "prune",
                .summary = "remove images that no container uses",
                .arguments = "[flags]",
                .action = Prune};
  prune.flags = {{FlagKind::kSwitch, "all", "all of them"}};
  Command group{.names = "images,image,i", .summary = "manage images"};
  group.commands = {
      {.names = "check",
       .summary = "tell which images are complete",
       .arguments = "[flags] [<filter>, ...]",
       .flags = {QuietFlag("the names of complete, unpacked images"), SnapshotterFlag()},
       .action = CheckAll},
      ImagesExportCommand(),
      ImagesImportCommand(),
      {.names = "list,ls",
       .summary = "list images",
       .arguments = "[flags] [<filter>, ...]",
       .flags = {QuietFlag("the names")},
       .action = List},
      ImageMountCommand(),
      ImageUnmountCommand(),
      ImagesPullCommand(),
      ImagesPushCommand(),
      remove,
      ImagesTagCommand(),
      label,
      MissingCommand("convert", "convert an image"),
      {.names = "usage",
       .summary = "show what an image's snapshots occupy",
       .arguments = "[flags] <ref>",
       .flags = {SnapshotterFlag()},
       .action = Usage},
      MissingCommand("inspect,i", "show an image's documents"),
      prune,
  };
  return group;
}

}  // namespace ctrd::ctr
