// SPDX-License-Identifier: Apache-2.0
// Layers into snapshots, driven by the client through the Diff and Snapshots services.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ctr/client.h"
#include "ctr/image_reader.h"

namespace ctrd::ctr {

absl::StatusOr<bool> IsUnpacked(const Client& client, const std::string& snapshotter,
                                const std::string& chain_id);

// Makes the snapshots of `image` that are missing, lowest first. The config's blob refers to the
// last one afterwards. Safe beside others who unpack the same image.
absl::Status Unpack(Client& client, const std::string& snapshotter, const ResolvedImage& image);

}  // namespace ctrd::ctr
