// SPDX-License-Identifier: Apache-2.0

// Images as an archive: an OCI layout that `docker load` reads too.
// Source document: docs/formats/archives.md.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "images/transfer/transfer.h"

namespace ctrd::transfer {

// Equal images give equal bytes.
//   kNotFound         "no manifest found for platform: not found", or content is missing
//   kInvalidArgument  "only manifests may be exported: invalid argument"
absl::Status WriteArchive(const base::Context& context, content::ContentStore& store,
                          const std::vector<images::Image>& images, const ExportEnd& to);

}  // namespace ctrd::transfer
