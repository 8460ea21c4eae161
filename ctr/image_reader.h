// SPDX-License-Identifier: Apache-2.0
// Images as a client sees them: records, and the documents behind them in the content store.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ctr/client.h"
#include "images/descriptor.h"
#include "images/spec/documents.h"
#include "images/spec/platform.h"
#include "services/images/v1/images.pb.h"
#include "types/descriptor.pb.h"

namespace ctrd::ctr {

images::Descriptor FromProto(const containerd::types::Descriptor& descriptor);
containerd::types::Descriptor ToProto(const images::Descriptor& descriptor);

absl::StatusOr<containerd::services::images::v1::Image> GetImage(const Client& client,
                                                                 const std::string& name);

// A whole document.  kNotFound, or kUnknown if it is larger than documents are.
absl::StatusOr<std::string> ReadDocument(const Client& client, const std::string& digest);

bool BlobExists(const Client& client, const std::string& digest);

struct ResolvedImage {
  images::Descriptor manifest_descriptor;
  images::Manifest manifest;
  images::ImageConfig config;
  std::string chain_id;  // Of all layers; "" for an image without any.
};

// The manifest for `matcher`'s platform below `target`: of an index the best one that is there.
absl::StatusOr<images::Manifest> ResolveManifest(const Client& client,
                                                 const images::Descriptor& target,
                                                 const images::PlatformMatcher& matcher,
                                                 images::Descriptor* found);
absl::StatusOr<ResolvedImage> ResolveImage(const Client& client, const images::Descriptor& target,
                                           const images::PlatformMatcher& matcher);

// What the documents say the image for this platform weighs, indexes and manifests included.
absl::StatusOr<int64_t> DeclaredSize(const Client& client, const images::Descriptor& target,
                                     const images::PlatformMatcher& matcher);

// The platforms it has manifests for, as text, sorted, each once.
absl::StatusOr<std::vector<std::string>> PlatformsOf(const Client& client,
                                                     const images::Descriptor& target);

}  // namespace ctrd::ctr
