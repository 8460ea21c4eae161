// SPDX-License-Identifier: Apache-2.0

// Layers of one image into snapshots, one over the other. Source document: docs/api/diff.md.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "images/spec/platform.h"
#include "images/transfer/concurrency.h"
#include "images/transfer/fetcher.h"
#include "images/transfer/progress.h"
#include "images/transfer/transfer.h"

namespace ctrd::transfer {

// Where images of certain platforms are unpacked to.
struct ActiveUnpack {
  images::PlatformMatcher platforms;
  UnpackTarget target;
};

// The requests that the configuration's list can serve, in their order.
//   kInvalidArgument  there are requests, and none can be served
absl::StatusOr<std::vector<ActiveUnpack>> MatchUnpacks(const TransferConfig& config,
                                                       const std::vector<UnpackRequest>& requests);

// One image being unpacked to one snapshotter.
class Unpacker {
 public:
  Unpacker(content::ContentStore& store, KeyedLocks& locks, const UnpackTarget& target)
      : store_(store), locks_(locks), target_(target) {}

  //   kUnknown  "number of layers and diffIDs don't match: <layers> != <diff ids>"
  absl::Status Open(const Descriptor& config, std::vector<Descriptor> layers,
                    std::vector<std::string> diff_ids);

  // How many of the lowest layers have their snapshots already: their blobs are not needed.
  absl::StatusOr<size_t> CountPresent(const base::Context& context);
  // Brings the blob of a layer into the store. True: `tap` has seen all of it.
  using FetchLayer = std::function<absl::StatusOr<bool>(const Tap& tap)>;
  // Makes the snapshot of layer `index`; that of the layer below is there. `fetch` is called when
  // the blob turns out to be needed; what its tap sees is applied at once.
  absl::Status Apply(const base::Context& context, size_t index, const FetchLayer& fetch,
                     ProgressTracker::Item* item);
  // After the last layer: the image's config keeps the snapshots.
  absl::Status Finish(const base::Context& context);

 private:
  base::Labels SnapshotLabels(size_t index) const;
  absl::StatusOr<bool> HasSnapshot(const base::Context& context, size_t index);
  absl::Status Extract(const base::Context& context, size_t index, const std::string& key,
                       const base::Mounts& mounts, const FetchLayer& fetch,
                       ProgressTracker::Item* item);
  // Fetches the layer and applies it, in one pass if that can be; what the uncompressed layer is.
  absl::StatusOr<Descriptor> FetchAndApply(const base::Context& context, const Descriptor& layer,
                                           const base::Mounts& mounts, const FetchLayer& fetch,
                                           ProgressTracker::Item* item);

  content::ContentStore& store_;
  KeyedLocks& locks_;
  const UnpackTarget target_;
  Descriptor config_;
  std::vector<Descriptor> layers_;
  std::vector<std::string> diff_ids_;
  std::vector<std::string> chain_ids_;
};

}  // namespace ctrd::transfer
