// SPDX-License-Identifier: Apache-2.0
#include "ctr/container_create.h"

#include <climits>
#include <cstdlib>

#include "base/files.h"
#include "base/identifiers.h"
#include "base/mount.h"
#include "ctr/container_flags.h"
#include "ctr/flag_values.h"
#include "ctr/image_reader.h"
#include "ctr/output.h"
#include "ctr/remap.h"
#include "ctr/transfer.h"
#include "ctr/unpack.h"
#include "services/containers/v1/containers.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::containers::v1;
namespace snapshots = containerd::services::snapshots::v1;

constexpr char kStopSignalLabel[] = "io.containerd.image.config.stop-signal";

base::Mounts FromProto(const google::protobuf::RepeatedPtrField<containerd::types::Mount>& mounts) {
  base::Mounts result;
  for (const auto& mount : mounts) {
    result.push_back({.type = mount.type(),
                      .source = mount.source(),
                      .target = mount.target(),
                      .options = {mount.options().begin(), mount.options().end()}});
  }
  return result;
}

absl::StatusOr<base::Mounts> SnapshotMounts(const Client& client, const std::string& snapshotter,
                                            const std::string& key) {
  snapshots::MountsRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(key);
  ASSIGN_OR_RETURN(const auto response, client.Call(&snapshots::Snapshots::Stub::Mounts, request));
  return FromProto(response.mounts());
}

std::string TemporaryDirectory() {
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr && *directory == '/' ? directory : "/tmp";
}

// The labels an image's author wrote. Those that mean something to the daemon or to Kubernetes are
// not theirs to set.
void AddImageLabels(const base::Labels& labels, api::Container& container) {
  for (const auto& [key, value] : labels) {
    const absl::Status status = base::ValidateLabel(key, value);
    if (key.starts_with("containerd.io/") || key.starts_with("io.cri-containerd")) {
      LogWarning("reserved label " + base::Quote(key) + " of the image is ignored");
    } else if (!status.ok()) {
      LogWarning("unable to use label of the image: " + base::MessageOf(status));
    } else {
      (*container.mutable_labels())[key] = value;
    }
  }
}

void AddLabels(const Invocation& invocation, const images::ImageConfig& config,
               const google::protobuf::Map<std::string, std::string>& record_labels,
               api::Container& container) {
  AddImageLabels(config.labels, container);
  for (const auto& [key, value] : record_labels) {
    if (base::ValidateLabel(key, value).ok()) (*container.mutable_labels())[key] = value;
  }
  for (const auto& [key, value] : ParseLabels(invocation.List("label"), "true")) {
    (*container.mutable_labels())[key] = value;
  }
  (*container.mutable_labels())[kStopSignalLabel] =
      config.stop_signal.empty() ? "SIGTERM" : config.stop_signal;
}

absl::StatusOr<images::PlatformMatcher> WantedPlatform(const Invocation& invocation) {
  if (!invocation.Declares("platform") || invocation.Text("platform").empty()) {
    return images::PlatformMatcher::Only(images::HostPlatform());
  }
  ASSIGN_OR_RETURN(const auto platform, images::ParsePlatform(invocation.Text("platform")));
  return images::PlatformMatcher::Only(images::NormalizePlatform(platform));
}

std::string Joined(const Invocation& invocation, std::string_view flag) {
  std::string joined;
  for (const std::string& text : invocation.List(flag))
    joined += (joined.empty() ? "" : ",") + text;
  return joined;
}

// What the container's snapshot stands on: the image, or a copy for its user namespace, unless the
// snapshotter itself is told to map.
absl::StatusOr<std::string> ParentFor(const Invocation& invocation, const Client& client,
                                      const std::string& image, const api::Container& container) {
  const RunFlags flags(invocation);
  if (!flags.IsSet("uidmap") || flags.Switch("remap-labels")) return image;
  IdMaps maps;
  ASSIGN_OR_RETURN(maps.uids, ParseIdMappings(invocation.List("uidmap")));
  ASSIGN_OR_RETURN(maps.gids, ParseIdMappings(invocation.List("gidmap")));
  return RemappedSnapshot(client, container.snapshotter(), image, maps);
}

absl::Status PrepareSnapshot(const Invocation& invocation, const Client& client,
                             const std::string& image, const api::Container& container) {
  snapshots::PrepareSnapshotRequest request;
  request.set_snapshotter(container.snapshotter());
  request.set_key(container.snapshot_key());
  ASSIGN_OR_RETURN(*request.mutable_parent(), ParentFor(invocation, client, image, container));
  for (const auto& [key, value] : ParseLabels(invocation.List("snapshotter-label"), "true")) {
    (*request.mutable_labels())[key] = value;
  }
  if (RunFlags(invocation).Switch("remap-labels")) {
    (*request.mutable_labels())["containerd.io/snapshot/uidmapping"] = Joined(invocation, "uidmap");
    (*request.mutable_labels())["containerd.io/snapshot/gidmapping"] = Joined(invocation, "gidmap");
  }
  return client.Call(&snapshots::Snapshots::Stub::Prepare, request).status();
}

absl::Status RemoveSnapshot(const Client& client, const api::Container& container) {
  snapshots::RemoveSnapshotRequest request;
  request.set_snapshotter(container.snapshotter());
  request.set_key(container.snapshot_key());
  const absl::Status status = client.Call(&snapshots::Snapshots::Stub::Remove, request).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status SetRuntime(const Invocation& invocation, api::Container& container) {
  container.mutable_runtime()->set_name(invocation.Text("runtime"));
  ASSIGN_OR_RETURN(auto options, RuntimeOptions(invocation));
  if (options) *container.mutable_runtime()->mutable_options() = *std::move(options);
  return absl::OkStatus();
}

absl::Status WriteRecord(const Invocation& invocation, const Client& client,
                         const SpecSource& source, api::Container& container) {
  ASSIGN_OR_RETURN(const runtime::Spec spec, MakeSpec(invocation, source));
  if (invocation.Declares("dump-config") && !invocation.Text("dump-config").empty()) {
    RETURN_IF_ERROR(
        base::WriteFileAtomically(invocation.Text("dump-config"), spec.ToJson(2), 0644));
  }
  container.mutable_spec()->set_type_url(std::string(runtime::kSpecTypeUrl));
  container.mutable_spec()->set_value(spec.ToJson());
  RETURN_IF_ERROR(SetRuntime(invocation, container));
  container.set_sandbox(invocation.Text("sandbox"));
  api::CreateContainerRequest request;
  *request.mutable_container() = container;
  ASSIGN_OR_RETURN(auto response, client.Call(&api::Containers::Stub::Create, request));
  container = std::move(*response.mutable_container());
  return absl::OkStatus();
}

absl::Status CreateFromImage(const Invocation& invocation, Client& client,
                             api::Container& container) {
  ASSIGN_OR_RETURN(const auto matcher, WantedPlatform(invocation));
  ASSIGN_OR_RETURN(*container.mutable_snapshotter(),
                   ResolveSnapshotter(client, invocation.Text("snapshotter")));
  ASSIGN_OR_RETURN(const auto record, GetImage(client, invocation.Argument(0)));
  ASSIGN_OR_RETURN(const ResolvedImage image,
                   ResolveImage(client, ctr::FromProto(record.target()), matcher));
  ASSIGN_OR_RETURN(const bool unpacked,
                   IsUnpacked(client, container.snapshotter(), image.chain_id));
  if (!unpacked) RETURN_IF_ERROR(Unpack(client, container.snapshotter(), image));
  container.set_image(record.name());
  container.set_snapshot_key(container.id());
  AddLabels(invocation, image.config, record.labels(), container);
  RETURN_IF_ERROR(PrepareSnapshot(invocation, client, image.chain_id, container));
  const SpecSource source{.client = &client,
                          .container_id = container.id(),
                          .rootfs = "",
                          .image = &image.config,
                          .arguments = invocation.ArgumentsFrom(2),
                          .read_account_file = ReadAccountFilesOfSnapshot(
                              client, container.snapshotter(), container.snapshot_key())};
  const absl::Status status = WriteRecord(invocation, client, source, container);
  if (!status.ok()) (void)RemoveSnapshot(client, container);  // The first error counts.
  return status;
}

absl::Status CreateFromDirectory(const Invocation& invocation, Client& client,
                                 api::Container& container) {
  SpecSource source{.client = &client,
                    .container_id = container.id(),
                    .rootfs = "",
                    .image = nullptr,
                    .arguments = invocation.ArgumentsFrom(2),
                    .read_account_file = nullptr};
  if (invocation.Text("config").empty()) {
    char resolved[PATH_MAX];
    const std::string given = invocation.Argument(0);
    // A directory that is not there is left for the runtime to complain about.
    source.rootfs = ::realpath(given.c_str(), resolved) != nullptr ? resolved : given;
    source.read_account_file = runtime::ReadAccountFilesBelow(source.rootfs);
  }
  for (const auto& [key, value] : ParseLabels(invocation.List("label"), "true")) {
    (*container.mutable_labels())[key] = value;
  }
  return WriteRecord(invocation, client, source, container);
}

}  // namespace

runtime::AccountFileReader ReadAccountFilesOfSnapshot(const Client& client,
                                                      const std::string& snapshotter,
                                                      const std::string& key) {
  auto mounted = std::make_shared<std::optional<base::TempMount>>();
  return
      [&client, snapshotter, key, mounted](const std::string& path) -> absl::StatusOr<std::string> {
        if (!mounted->has_value()) {
          ASSIGN_OR_RETURN(const base::Mounts mounts, SnapshotMounts(client, snapshotter, key));
          ASSIGN_OR_RETURN(base::TempMount mount,
                           base::TempMount::Create(TemporaryDirectory(), base::ReadOnly(mounts)));
          mounted->emplace(std::move(mount));
        }
        return runtime::ReadAccountFilesBelow((*mounted)->path())(path);
      };
}

absl::StatusOr<api::Container> CreateContainer(const Invocation& invocation, Client& client) {
  RETURN_IF_ERROR(CheckContainerFlags(invocation));
  const bool from_config = !invocation.Text("config").empty();
  api::Container container;
  container.set_id(invocation.Argument(from_config ? 0 : 1));
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(client));
  if (from_config || invocation.Switch("rootfs")) {
    RETURN_IF_ERROR(CreateFromDirectory(invocation, client, container));
  } else {
    RETURN_IF_ERROR(CreateFromImage(invocation, client, container));
  }
  return container;
}

absl::StatusOr<api::Container> GetContainer(const Client& client, const std::string& id) {
  api::GetContainerRequest request;
  request.set_id(id);
  ASSIGN_OR_RETURN(auto response, client.Call(&api::Containers::Stub::Get, request));
  return std::move(*response.mutable_container());
}

absl::Status DeleteContainer(const Client& client, const api::Container& container,
                             bool keep_snapshot) {
  if (!keep_snapshot && !container.snapshot_key().empty()) {
    RETURN_IF_ERROR(RemoveSnapshot(client, container));
  }
  api::DeleteContainerRequest request;
  request.set_id(container.id());
  return client.Call(&api::Containers::Stub::Delete, request).status();
}

}  // namespace ctrd::ctr
