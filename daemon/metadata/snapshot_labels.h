// SPDX-License-Identifier: Apache-2.0

// Which labels of a snapshot its driver gets to see.
#pragma once

#include <string>
#include <string_view>

#include "base/identifiers.h"
#include "daemon/metadata/records.h"
#include "snapshots/snapshotter.h"

namespace ctrd::metadata {

// The name under which a driver may offer a layer it can make by itself.
inline constexpr std::string_view kTargetLabel = "containerd.io/snapshot.ref";

// Those with the prefix containerd.io/snapshot/, and the target label.
bool IsInherited(std::string_view key);
base::Labels InheritedLabels(const base::Labels& labels);

// The value of the target label, "" for none.
std::string TargetOf(const base::Labels& labels);

// The driver's view of a snapshot under the client's names, its labels overlaid with the record's.
snapshots::Info Overlay(snapshots::Info backend, std::string_view key, SnapshotRecord record);

}  // namespace ctrd::metadata
