// SPDX-License-Identifier: Apache-2.0
#include "images/spec/media_types.h"

namespace ctrd::images {

bool IsManifest(std::string_view media_type) {
  return media_type == kDockerManifest || media_type == kOciManifest;
}

bool IsIndex(std::string_view media_type) {
  return media_type == kDockerManifestList || media_type == kOciIndex;
}

bool IsConfig(std::string_view media_type) {
  return media_type == kDockerConfig || media_type == kOciConfig;
}

bool IsKnownConfig(std::string_view media_type) {
  return IsConfig(media_type) ||
         media_type == "application/vnd.containerd.container.checkpoint.config.v1+proto" ||
         media_type == "application/vnd.containerd.container.checkpoint.options.v1+proto" ||
         media_type == "application/vnd.containerd.container.checkpoint.runtime.name" ||
         media_type == "application/vnd.containerd.container.checkpoint.runtime.options+proto";
}

bool IsLayer(std::string_view media_type) {
  if (media_type.starts_with("application/vnd.oci.image.layer.")) return true;
  const std::string_view base = media_type.substr(0, media_type.find('+'));
  return base == kDockerLayer || base == kDockerLayerGzip || base == kDockerLayerZstd ||
         base == kDockerForeignLayer || base == kDockerForeignLayerGzip || base == kErofsLayer;
}

bool IsNonDistributable(std::string_view media_type) {
  return media_type.starts_with("application/vnd.oci.image.layer.nondistributable.") ||
         media_type.starts_with("application/vnd.docker.image.rootfs.foreign.");
}

}  // namespace ctrd::images
