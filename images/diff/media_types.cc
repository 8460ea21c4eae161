// SPDX-License-Identifier: Apache-2.0
#include "images/diff/media_types.h"

#include <array>

#include "base/status.h"

namespace ctrd::diff {
namespace {

constexpr std::array<std::string_view, 2> kOci = {
    kLayerMediaType, "application/vnd.oci.image.layer.nondistributable.v1.tar"};
constexpr std::array<std::string_view, 6> kDocker = {
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd"};

template <size_t size>
bool Contains(const std::array<std::string_view, size>& types, std::string_view type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Of the words after '+', the one that sorts last.
std::string_view LastSuffix(std::string_view suffixes) {
  std::string_view last;
  while (!suffixes.empty()) {
    const size_t plus = std::min(suffixes.find('+'), suffixes.size());
    last = std::max(last, suffixes.substr(0, plus));
    suffixes.remove_prefix(std::min(plus + 1, suffixes.size()));
  }
  return last;
}

}  // namespace

std::optional<LayerTreatment> TreatmentOf(std::string_view media_type) {
  const size_t plus = media_type.find('+');
  const std::string_view base = media_type.substr(0, plus);
  const bool has_suffix = plus != std::string_view::npos;
  if (Contains(kDocker, base)) {
    return has_suffix ? LayerTreatment::kPlain : LayerTreatment::kDecompress;
  }
  if (!Contains(kOci, base)) return std::nullopt;
  const std::string_view last = has_suffix ? LastSuffix(media_type.substr(plus + 1)) : "";
  return last == "gzip" || last == "zstd" ? LayerTreatment::kDecompress : LayerTreatment::kPlain;
}

absl::StatusOr<archive::Compression> CompressionFor(std::string_view media_type) {
  if (media_type.empty() || media_type == "application/vnd.oci.image.layer.v1.tar+gzip") {
    return archive::Compression::kGzip;
  }
  if (media_type == kLayerMediaType) return archive::Compression::kNone;
  if (media_type == "application/vnd.oci.image.layer.v1.tar+zstd") {
    return archive::Compression::kZstd;
  }
  return base::Unimplemented("unsupported diff media type: {}", media_type);
}

}  // namespace ctrd::diff
