// SPDX-License-Identifier: Apache-2.0

// The content store in one directory: blobs/<algorithm>/<hex> and ingest/<sha256 of the ref>/.
//
// It knows neither namespaces nor labels: Update is kUnimplemented, Stat gives the file's times.
// Blobs survive power loss once Commit returned; ingests survive the end of the process. A full
// disk is kResourceExhausted, and what was written before it stays. The store outlives its writers.
//
// Source document: docs/formats/content.md.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "images/content/content_store.h"

namespace ctrd::content {

// Opens the store in `root`, which is made if it is missing (mode 0755). Ingest directories that a
// crash left without a ref, which nobody could resume or abort, are removed.
absl::StatusOr<std::unique_ptr<ContentStore>> OpenLocalContentStore(const std::string& root);

}  // namespace ctrd::content
