// SPDX-License-Identifier: Apache-2.0

// Image archives into the stores. Source document: docs/formats/archives.md.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "images/transfer/concurrency.h"
#include "images/transfer/transfer.h"
#include "images/transfer/unpacker.h"

namespace ctrd::transfer {

// Ingests the files of an OCI layout or a Docker archive; the index of its images, as it was or as
// it is made of manifest.json.
//   kUnknown  "unrecognized image format", "unsupported OCI version <v>", …
absl::StatusOr<Descriptor> ReadArchive(const base::Context& context, content::ContentStore& store,
                                       const ImportEnd& from);

// Walks from `index` through what `to` selects: labels documents, unpacks images. Returns the
// index's entries.
//   kUnknown  "image might be filtered out"
absl::StatusOr<std::vector<Descriptor>> UnpackImported(const base::Context& context,
                                                       content::ContentStore& store,
                                                       KeyedLocks& locks, const StoreEnd& to,
                                                       const std::vector<ActiveUnpack>& unpacks,
                                                       const Descriptor& index);

}  // namespace ctrd::transfer
