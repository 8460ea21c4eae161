// SPDX-License-Identifier: Apache-2.0

// Layers of one image into snapshots, one over the other. Source document: docs/api/diff.md.
#pragma once

#include <functional>
#include <string>
#include <utility>
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

class Unpacker;

// A layer in a snapshot that does not stand on the layer below yet. It is removed with this object
// unless it is committed.
class LooseLayer {
 public:
  LooseLayer(LooseLayer&& other) noexcept
      : unpacker_(other.unpacker_),
        context_(other.context_),
        index_(other.index_),
        held_(std::move(other.held_)),
        key_(std::exchange(other.key_, {})) {}
  LooseLayer& operator=(LooseLayer&&) = delete;
  ~LooseLayer();

  // Puts it over the layer below, which is there.
  absl::Status Commit();

 private:
  friend class Unpacker;
  LooseLayer(Unpacker& unpacker, const base::Context& context, size_t index, KeyedLocks::Held held)
      : unpacker_(&unpacker), context_(&context), index_(index), held_(std::move(held)) {}

  Unpacker* unpacker_;
  const base::Context* context_;
  size_t index_;
  KeyedLocks::Held held_;
  std::string key_;  // "" once there is nothing to remove.
};

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
  // The same in two steps, for any number of layers at once: this one does not need the layer
  // below. Only if CanRebase().
  //   kAborted  the content of the layer needs those below: Apply it when they are there
  bool CanRebase() const { return target_.rebase; }
  absl::StatusOr<LooseLayer> ApplyLoose(const base::Context& context, size_t index,
                                        const FetchLayer& fetch, ProgressTracker::Item* item);
  // After the last layer: the image's config keeps the snapshots.
  absl::Status Finish(const base::Context& context);

 private:
  friend class LooseLayer;
  absl::StatusOr<KeyedLocks::Held> LockLayer(const base::Context& context, size_t index);
  // A new snapshot's key and mounts; no key if another has made the layer meanwhile.
  struct Prepared {
    std::string key;
    base::Mounts mounts;
  };
  absl::StatusOr<Prepared> Prepare(const base::Context& context, size_t index,
                                   const std::string& parent);
  base::Labels SnapshotLabels(size_t index) const;
  absl::StatusOr<bool> HasSnapshot(const base::Context& context, size_t index);
  // Fetches the layer and applies it to the mounts; checks what came out.
  absl::Status Extract(const base::Context& context, size_t index, const base::Mounts& mounts,
                       const diff::ApplyOptions& options, const FetchLayer& fetch,
                       ProgressTracker::Item* item);
  absl::Status Commit(const base::Context& context, size_t index, const std::string& key,
                      const std::string& new_parent);
  // Fetches the layer and applies it, in one pass if that can be; what the uncompressed layer is.
  absl::StatusOr<Descriptor> FetchAndApply(const base::Context& context, const Descriptor& layer,
                                           const base::Mounts& mounts,
                                           const diff::ApplyOptions& options,
                                           const FetchLayer& fetch);

  content::ContentStore& store_;
  KeyedLocks& locks_;
  const UnpackTarget target_;
  Descriptor config_;
  std::vector<Descriptor> layers_;
  std::vector<std::string> diff_ids_;
  std::vector<std::string> chain_ids_;
};

}  // namespace ctrd::transfer
