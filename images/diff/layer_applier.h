// SPDX-License-Identifier: Apache-2.0

// LayerApplier: applies a layer while its bytes still arrive.
//
//   Start --> Write… --> Finish --> the descriptor of the uncompressed tar
//
// The work is done in a thread of its own behind a bounded pipe: Write waits while that is behind.
// Destroying the applier without Finish abandons the layer; the target holds a part of it then.
// One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "images/diff/differ.h"
#include "images/diff/walking_differ.h"

namespace ctrd::diff {

class LayerApplier {
 public:
  // `media_type` is the blob's. `context` bounds the work, and cancels it.
  static absl::StatusOr<std::unique_ptr<LayerApplier>> Start(const base::Context& context,
                                                             const WalkingOptions& walking,
                                                             const std::string& media_type,
                                                             const base::Mounts& mounts,
                                                             const ApplyOptions& options);
  ~LayerApplier();

  // Takes the next bytes of the blob. An error is that of the work, and final.
  absl::Status Write(std::string_view data);
  // The blob is complete: waits for the work. As Differ::Apply, nothing but the caller compares the
  // digest with the one expected.
  absl::StatusOr<images::Descriptor> Finish();

 private:
  class Pipe;
  LayerApplier();
  void Run(const base::Context& context, const WalkingOptions& walking,
           const std::string& media_type, const base::Mounts& mounts, const ApplyOptions& options);

  std::unique_ptr<Pipe> pipe_;
  absl::StatusOr<images::Descriptor> result_;  // The thread's until it is joined.
  std::thread thread_;
};

}  // namespace ctrd::diff
