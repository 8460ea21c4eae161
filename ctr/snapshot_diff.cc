// SPDX-License-Identifier: Apache-2.0
#include "ctr/snapshot_diff.h"

#include "base/identifiers.h"
#include "services/diff/v1/diff.grpc.pb.h"
#include "services/snapshots/v1/snapshots.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::snapshots::v1;
namespace diff = containerd::services::diff::v1;
using Stub = api::Snapshots::Stub;
using Mounts = google::protobuf::RepeatedPtrField<containerd::types::Mount>;

struct Snapshots {
  const Client& client;
  const std::string& snapshotter;

  template <typename Request, typename Method>
  auto Call(Method method, Request request, const std::string& key) const {
    request.set_snapshotter(snapshotter);
    request.set_key(key);
    return client.Call(method, request);
  }
};

// The mounts that show the snapshot `key`; of a committed one through a view named `view`.
absl::StatusOr<Mounts> MountsToRead(const Snapshots& snapshots, const std::string& key,
                                    const std::string& view) {
  if (key.empty()) return Mounts();
  ASSIGN_OR_RETURN(const auto stat, snapshots.Call(&Stub::Stat, api::StatSnapshotRequest(), key));
  if (stat.info().kind() != api::COMMITTED) {
    ASSIGN_OR_RETURN(auto mounts, snapshots.Call(&Stub::Mounts, api::MountsRequest(), key));
    return mounts.mounts();
  }
  api::ViewSnapshotRequest request;
  request.set_parent(key);
  ASSIGN_OR_RETURN(auto response, snapshots.Call(&Stub::View, request, view));
  return response.mounts();
}

absl::StatusOr<std::string> ParentOf(const Snapshots& snapshots, const std::string& key) {
  ASSIGN_OR_RETURN(const auto stat, snapshots.Call(&Stub::Stat, api::StatSnapshotRequest(), key));
  return stat.info().parent();
}

}  // namespace

absl::StatusOr<containerd::types::Descriptor> DiffSnapshots(const Client& client,
                                                            const std::string& snapshotter,
                                                            const std::string& upper,
                                                            const std::string& lower,
                                                            const DiffOptions& options) {
  const Snapshots snapshots{client, snapshotter};
  std::string below = lower;
  if (below.empty()) {
    ASSIGN_OR_RETURN(below, ParentOf(snapshots, upper));
  }
  const std::string views[] = {base::GenerateName() + "-upper", base::GenerateName() + "-lower"};
  diff::DiffRequest request;
  ASSIGN_OR_RETURN(*request.mutable_right(), MountsToRead(snapshots, upper, views[0]));
  request.set_media_type(options.media_type);
  request.set_ref(options.ref);
  *request.mutable_labels() = options.labels;
  const auto left = MountsToRead(snapshots, below, views[1]);
  absl::StatusOr<diff::DiffResponse> response = base::Unknown("no difference was made");
  if (left.ok()) {
    *request.mutable_left() = *left;
    response = client.Call(&diff::Diff::Stub::Diff, request);
  }
  for (const std::string& view : views) {  // Those that were not made are not there.
    (void)snapshots.Call(&Stub::Remove, api::RemoveSnapshotRequest(), view);
  }
  RETURN_IF_ERROR(left.status());
  RETURN_IF_ERROR(response.status());
  return response->diff();
}

}  // namespace ctrd::ctr
