// SPDX-License-Identifier: Apache-2.0

// Applying a stream of a layer's bytes to mounts: what Apply and LayerApplier share.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "images/archive/byte_stream.h"
#include "images/diff/differ.h"
#include "images/diff/walking_differ.h"

namespace ctrd::diff {

// Turns `input`, of `media_type`, into a tar and applies that to `mounts`. All of `input` is read.
// The result describes the tar.
absl::StatusOr<images::Descriptor> ApplyStream(
    const base::Context& context, archive::ByteSource& input, const std::string& media_type,
    const base::Mounts& mounts, const WalkingOptions& walking, const ApplyOptions& options);

}  // namespace ctrd::diff
