// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "images/spec/documents.h"
#include "images/spec/platform.h"
#include "images/transfer/fetcher.h"
#include "images/transfer/progress.h"
#include "images/transfer/unpacker.h"

namespace ctrd::transfer {

// Which children of an index a walk goes into.
struct Selected {
  Descriptor descriptor;
  bool metadata_only = false;  // Of another platform: manifest and config, no layers.
};
//   kNotFound  "no match for platform in manifest: not found", with a limit only
absl::StatusOr<std::vector<Selected>> SelectManifests(const StoreEnd& store,
                                                      std::vector<Descriptor> children);

// The walk of one pull from its target to its layers. Run once.
class PullWalk {
 public:
  PullWalk(content::ContentStore& store, KeyedLocks& locks, Fetcher& fetcher,
           ProgressTracker& progress, const StoreEnd& end, std::vector<ActiveUnpack> unpacks,
           int width, int unpack_width)
      : store_(store),
        locks_(locks),
        fetcher_(fetcher),
        progress_(progress),
        end_(end),
        unpacks_(std::move(unpacks)),
        width_(static_cast<size_t>(width)),
        unpack_width_(static_cast<size_t>(unpack_width)) {}

  absl::Status Run(const base::Context& context, const Descriptor& target);

 private:
  using Items = std::vector<ProgressTracker::Item*>;

  absl::Status Visit(const base::Context& context, const Selected& selected,
                     const std::string& parent, int depth);
  absl::Status VisitIndex(const base::Context& context, std::vector<Descriptor> children,
                          const std::string& parent, int depth);
  absl::Status VisitManifest(const base::Context& context, std::vector<Descriptor> children,
                             const std::string& parent, bool metadata_only);
  // The unpack that the image asks for; null for none.
  const ActiveUnpack* UnpackFor(const images::ImageConfig& config) const;
  absl::Status FetchAndUnpack(const base::Context& context, Unpacker& unpacker,
                              const std::vector<Descriptor>& layers, const std::string& parent);
  // The two ways of that: from the lowest missing layer, `first`, to the top.
  absl::Status UnpackInTurn(const base::Context& context, Unpacker& unpacker,
                            const std::vector<Descriptor>& layers, const Items& items,
                            size_t first);
  absl::Status UnpackSideBySide(const base::Context& context, Unpacker& unpacker,
                                const std::vector<Descriptor>& layers, const Items& items,
                                size_t first);
  absl::Status FetchAll(const base::Context& context, const std::vector<Descriptor>& blobs,
                        const std::string& parent);

  content::ContentStore& store_;
  KeyedLocks& locks_;
  Fetcher& fetcher_;
  ProgressTracker& progress_;
  const StoreEnd& end_;
  const std::vector<ActiveUnpack> unpacks_;
  const size_t width_;
  const size_t unpack_width_;
};

}  // namespace ctrd::transfer
