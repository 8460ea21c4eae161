// SPDX-License-Identifier: Apache-2.0
#include "ctr/unpack.h"

#include "base/identifiers.h"
#include "services/content/v1/content.grpc.pb.h"
#include "services/diff/v1/diff.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace content = containerd::services::content::v1;
namespace diff = containerd::services::diff::v1;
namespace snapshots = containerd::services::snapshots::v1;
using SnapshotsStub = snapshots::Snapshots::Stub;

absl::Status RemoveSnapshot(const Client& client, const std::string& snapshotter,
                            const std::string& key) {
  snapshots::RemoveSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(key);
  return client.Call(&SnapshotsStub::Remove, request).status();
}

// Applies `layer` onto an active snapshot `key` that was just prepared, and commits it.
absl::Status ApplyAndCommit(const Client& client, const std::string& snapshotter,
                            const images::Descriptor& layer, const std::string& diff_id,
                            const std::string& key, const std::string& chain_id,
                            const snapshots::PrepareSnapshotResponse& prepared) {
  diff::ApplyRequest apply;
  *apply.mutable_diff() = ToProto(layer);
  *apply.mutable_mounts() = prepared.mounts();
  const auto applied = client.Call(&diff::Diff::Stub::Apply, apply);
  if (!applied.ok()) {
    return base::Annotate(applied.status(), "failed to extract layer " + diff_id);
  }
  if (applied->applied().digest() != diff_id) {
    return base::Unknown("wrong diff id calculated on extraction {}",
                         base::Quote(applied->applied().digest()));
  }
  snapshots::CommitSnapshotRequest commit;
  commit.set_snapshotter(snapshotter);
  commit.set_name(chain_id);
  commit.set_key(key);
  return client.Call(&SnapshotsStub::Commit, commit).status();
}

absl::Status UnpackLayer(const Client& client, const std::string& snapshotter,
                         const images::Descriptor& layer, const std::string& diff_id,
                         const std::string& parent, const std::string& chain_id) {
  snapshots::PrepareSnapshotRequest prepare;
  prepare.set_snapshotter(snapshotter);
  prepare.set_key("extract-" + base::GenerateName() + " " + chain_id);
  prepare.set_parent(parent);
  ASSIGN_OR_RETURN(const auto prepared, client.Call(&SnapshotsStub::Prepare, prepare));
  absl::Status status =
      ApplyAndCommit(client, snapshotter, layer, diff_id, prepare.key(), chain_id, prepared);
  if (status.ok()) return status;
  (void)RemoveSnapshot(client, snapshotter, prepare.key());  // The lease ends its life otherwise.
  // Another client was faster: the snapshot is there, which is all we wanted.
  return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
}

absl::Status ReferToSnapshot(const Client& client, const std::string& config_digest,
                             const std::string& snapshotter, const std::string& chain_id) {
  const std::string label = "containerd.io/gc.ref.snapshot." + snapshotter;
  content::UpdateRequest request;
  request.mutable_info()->set_digest(config_digest);
  (*request.mutable_info()->mutable_labels())[label] = chain_id;
  request.mutable_update_mask()->add_paths("labels." + label);
  return client.Call(&content::Content::Stub::Update, request).status();
}

}  // namespace

absl::StatusOr<bool> IsUnpacked(const Client& client, const std::string& snapshotter,
                                const std::string& chain_id) {
  snapshots::StatSnapshotRequest request;
  request.set_snapshotter(snapshotter);
  request.set_key(chain_id);
  const auto response = client.Call(&SnapshotsStub::Stat, request);
  if (response.ok()) return true;
  if (absl::IsNotFound(response.status())) return false;
  return response.status();
}

absl::Status Unpack(Client& client, const std::string& snapshotter, const ResolvedImage& image) {
  if (image.manifest.layers.size() != image.config.diff_ids.size()) {
    return base::Unknown("mismatched image rootfs and manifest layers");
  }
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(client));
  const std::vector<std::string> chain = images::ChainIds(image.config.diff_ids);
  for (size_t i = 0; i < chain.size(); ++i) {
    ASSIGN_OR_RETURN(const bool done, IsUnpacked(client, snapshotter, chain[i]));
    if (done) continue;
    RETURN_IF_ERROR(UnpackLayer(client, snapshotter, image.manifest.layers[i],
                                image.config.diff_ids[i], i == 0 ? "" : chain[i - 1], chain[i]));
  }
  if (chain.empty()) return absl::OkStatus();
  return ReferToSnapshot(client, image.manifest.config.digest, snapshotter, chain.back());
}

}  // namespace ctrd::ctr
