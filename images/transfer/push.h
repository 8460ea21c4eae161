// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "images/registry/registry.h"
#include "images/transfer/concurrency.h"
#include "images/transfer/progress.h"

namespace ctrd::transfer {

// Uploads what `target` leads to: blobs in parallel, then manifests, then indexes from the inside
// out. `platforms` drops children of indexes that match none; empty keeps all.
absl::Status PushTree(const base::Context& context, content::ContentStore& store,
                      registry::Registry& registry, const Descriptor& target,
                      const std::vector<Platform>& platforms, Limiter& uploads, size_t width,
                      ProgressTracker& progress, const std::string& root_name);

}  // namespace ctrd::transfer
