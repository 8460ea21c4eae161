// SPDX-License-Identifier: Apache-2.0

// What the media type of a layer says about its bytes.
// Source document: docs/api/diff.md.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "images/archive/compression.h"

namespace ctrd::diff {

inline constexpr std::string_view kLayerMediaType = "application/vnd.oci.image.layer.v1.tar";

enum class LayerTreatment {
  kPlain,       // A tar as it is.
  kDecompress,  // Compressed, or perhaps: the first bytes tell.
};
// nullopt: not a layer.
std::optional<LayerTreatment> TreatmentOf(std::string_view media_type);

// The compression of a layer we write; "" is gzip.
//   kUnimplemented  `unsupported diff media type: <t>: not implemented`
absl::StatusOr<archive::Compression> CompressionFor(std::string_view media_type);

}  // namespace ctrd::diff
