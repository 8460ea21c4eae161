// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "images/transfer/transfer.h"

namespace ctrd::transfer {

// What an archive held. Paths are clean and relative.
struct ArchiveFiles {
  std::map<std::string, Descriptor> blobs;  // Without media types.
  std::map<std::string, std::string> symlinks;
  std::string oci_layout;
  std::string docker_manifest;
};

// `path` without "", "." and "..", and without a leading slash.
std::string CleanArchivePath(std::string_view path);

// Makes manifests and an index of the manifest.json of a Docker archive; the index's descriptor.
absl::StatusOr<Descriptor> IndexDockerArchive(const base::Context& context,
                                              content::ContentStore& store,
                                              const ArchiveFiles& files, bool force_compress);

}  // namespace ctrd::transfer
