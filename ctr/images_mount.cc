// SPDX-License-Identifier: Apache-2.0
// An image's files at a directory of the host. What is mounted is a snapshot named like the
// directory, kept by a lease of that name.
#include "base/identifiers.h"
#include "base/mount.h"
#include "base/time.h"
#include "ctr/client.h"
#include "ctr/commands.h"
#include "ctr/image_reader.h"
#include "ctr/images.h"
#include "ctr/output.h"
#include "ctr/unpack.h"
#include "services/leases/v1/leases.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace leases = containerd::services::leases::v1;
namespace snapshots = containerd::services::snapshots::v1;
using LeasesStub = leases::Leases::Stub;
using SnapshotsStub = snapshots::Snapshots::Stub;

absl::Status UnlessNotFound(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

// Whether there was no such lease before.
absl::StatusOr<bool> TakeLease(Client& client, const std::string& id, absl::Duration life,
                               const std::string& snapshotter) {
  leases::CreateRequest request;
  request.set_id(id);
  (*request.mutable_labels())["containerd.io/gc.expire"] = base::FormatRfc3339(absl::Now() + life);
  (*request.mutable_labels())["containerd.io/gc.ref.snapshot." + snapshotter] = id;
  const absl::Status status = client.Call(&LeasesStub::Create, request).status();
  if (!status.ok() && !absl::IsAlreadyExists(status)) return status;
  client.set_lease(id);
  return status.ok();
}

absl::Status RemoveSnapshot(const Client& client, const std::string& snapshotter,
                            const std::string& key) {
  snapshots::RemoveSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(key);
  return UnlessNotFound(client.Call(&SnapshotsStub::Remove, request).status());
}

absl::Status RemoveLease(const Client& client, const std::string& id) {
  leases::DeleteRequest request;
  request.set_id(id);
  return UnlessNotFound(client.Call(&LeasesStub::Delete, request).status());
}

template <typename Request>
Request RequestFor(const std::string& snapshotter, const std::string& key) {
  Request request;
  request.set_snapshotter(snapshotter);
  request.set_key(key);
  return request;
}

// The mounts of the snapshot `key`, which is made over `parent` unless it is there.
absl::StatusOr<base::Mounts> MountsOf(const Client& client, const std::string& snapshotter,
                                      const std::string& key, const std::string& parent,
                                      bool writable) {
  absl::Status made;
  if (writable) {
    auto request = RequestFor<snapshots::PrepareSnapshotRequest>(snapshotter, key);
    request.set_parent(parent);
    made = client.Call(&SnapshotsStub::Prepare, request).status();
  } else {
    auto request = RequestFor<snapshots::ViewSnapshotRequest>(snapshotter, key);
    request.set_parent(parent);
    made = client.Call(&SnapshotsStub::View, request).status();
  }
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  ASSIGN_OR_RETURN(
      const auto response,
      client.Call(&SnapshotsStub::Mounts, RequestFor<snapshots::MountsRequest>(snapshotter, key)));
  base::Mounts mounts;
  for (const auto& mount : response.mounts()) {
    mounts.push_back({.type = mount.type(),
                      .source = mount.source(),
                      .target = mount.target(),
                      .options = {mount.options().begin(), mount.options().end()}});
  }
  return mounts;
}

absl::Status MountImage(const Invocation& invocation, Client& client,
                        const std::string& snapshotter, const std::string& target) {
  ASSIGN_OR_RETURN(const auto platform, images::ParsePlatform(invocation.Text("platform")));
  ASSIGN_OR_RETURN(const auto record, GetImage(client, invocation.Argument(0)));
  ASSIGN_OR_RETURN(
      const ResolvedImage image,
      ResolveImage(client, FromProto(record.target()),
                   images::PlatformMatcher::Only(images::NormalizePlatform(platform))));
  if (absl::Status status = Unpack(client, snapshotter, image); !status.ok()) {
    return base::Annotate(status, "error unpacking image");
  }
  PrintLine(image.chain_id);
  ASSIGN_OR_RETURN(const base::Mounts mounts,
                   MountsOf(client, snapshotter, target, image.chain_id, invocation.Switch("rw")));
  const absl::Status status = base::MountAll(mounts, target);
  if (!status.ok()) (void)RemoveSnapshot(client, snapshotter, target);  // The first error counts.
  return status;
}

absl::Status Mount(Invocation& invocation) {
  const std::string target = invocation.Argument(1);
  if (invocation.Argument(0).empty()) {
    return base::Unknown("please provide an image reference to mount");
  }
  if (target.empty()) return base::Unknown("please provide a target path to mount to");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  ASSIGN_OR_RETURN(const std::string snapshotter,
                   ResolveSnapshotter(client, invocation.Text("snapshotter")));
  ASSIGN_OR_RETURN(const bool is_new,
                   TakeLease(client, target, invocation.Duration("expiration"), snapshotter));
  const absl::Status status = MountImage(invocation, client, snapshotter, target);
  if (status.ok()) PrintLine(target);
  if (!status.ok() && is_new) {
    client.set_lease("");
    (void)RemoveLease(client, target);  // It expires.
  }
  return status;
}

absl::Status Unmount(Invocation& invocation) {
  const std::string target = invocation.Argument(0);
  if (target.empty()) return base::Unknown("please provide a target path to unmount from");
  ASSIGN_OR_RETURN(Client client, Client::Connect(invocation));
  RETURN_IF_ERROR(base::UnmountAll(target));
  if (invocation.Switch("rm")) {
    ASSIGN_OR_RETURN(const std::string snapshotter,
                     ResolveSnapshotter(client, invocation.Text("snapshotter")));
    if (absl::Status status = RemoveSnapshot(client, snapshotter, target); !status.ok()) {
      return base::Annotate(status, "error removing snapshot");
    }
    if (absl::Status status = RemoveLease(client, target); !status.ok()) {
      return base::Annotate(status, "error deleting lease");
    }
  }
  PrintLine(target);
  return absl::OkStatus();
}

}  // namespace

Command ImageMountCommand() {
  Command command{.names = "mount",
                  .summary = "mount an image",
                  .arguments = "[flags] <ref> <target>",
                  .action = Mount};
  command.flags = {SnapshotterFlag(),
                   {FlagKind::kSwitch, "rw", "allow writing to what is mounted"},
                   {FlagKind::kText, "platform", "mount the image of this platform",
                    images::FormatPlatform(images::HostPlatform())},
                   {FlagKind::kDuration, "expiration,x", "how long the mount is kept", "1h"}};
  return command;
}

Command ImageUnmountCommand() {
  Command command{.names = "unmount",
                  .summary = "unmount an image",
                  .arguments = "[flags] <target>",
                  .action = Unmount};
  command.flags = {SnapshotterFlag(),
                   {FlagKind::kSwitch, "rm", "and remove its snapshot and lease"}};
  return command;
}

}  // namespace ctrd::ctr
