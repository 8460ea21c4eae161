// SPDX-License-Identifier: Apache-2.0

// The labels by which clients tell the collector what belongs together.
// Source document: docs/operations/garbage-collection.md.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "base/identifiers.h"

namespace ctrd::metadata::gc {

// A thing of one namespace that can refer and be referred to: a kind, then what names it.
using NodeId = std::string;
NodeId Content(std::string_view digest);
NodeId Snapshot(std::string_view snapshotter, std::string_view key);
NodeId Image(std::string_view name);
NodeId Container(std::string_view id);
NodeId Ingest(std::string_view ref);
NodeId ActiveMount(std::string_view name);

using VisitNode = std::function<void(const NodeId&)>;

// containerd.io/gc.ref.…: what an object with `labels` keeps alive.
void ForEachReference(const base::Labels& labels, const VisitNode& visit);
// containerd.io/gc.bref.…: what keeps an object with `labels` alive.
void ForEachBackReference(const base::Labels& labels, const VisitNode& visit);
// containerd.io/gc.cond.snapshot.…: the snapshots it keeps alive if a condition holds. `used_at`
// answers when a snapshot was used last, InfinitePast for never.
void ForEachConditional(const base::Labels& labels, absl::Time now,
                        const std::function<absl::Time(const NodeId&)>& used_at,
                        const VisitNode& visit);

bool IsRoot(const base::Labels& labels);  // containerd.io/gc.root…
bool IsFlat(const base::Labels& labels);  // containerd.io/gc.flat
// Past the time of containerd.io/gc.expire. What cannot be parsed never expires.
bool IsExpired(const base::Labels& labels, absl::Time now);
// containerd.io/gc.cond.value-usedat
absl::Time UsedAt(const base::Labels& labels);

}  // namespace ctrd::metadata::gc
