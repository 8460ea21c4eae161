// SPDX-License-Identifier: Apache-2.0
// The difference between two snapshots as a blob, by the Snapshots and Diff services.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "ctr/client.h"
#include "services/diff/v1/diff.pb.h"
#include "types/descriptor.pb.h"

namespace ctrd::ctr {

struct DiffOptions {
  std::string media_type;  // "" for the daemon's choice.
  std::string ref;         // Name of the ingest; "" for any.
  google::protobuf::Map<std::string, std::string> labels;
};

// What `upper` has beyond `lower`; "" for its parent. Committed ones are read through views that
// are gone afterwards.
absl::StatusOr<containerd::types::Descriptor> DiffSnapshots(const Client& client,
                                                            const std::string& snapshotter,
                                                            const std::string& upper,
                                                            const std::string& lower,
                                                            const DiffOptions& options);

}  // namespace ctrd::ctr
