// SPDX-License-Identifier: Apache-2.0

// Media types of images, and the questions asked of them.
// Source document: docs/api/distribution.md (section 11).
#pragma once

#include <string_view>

namespace ctrd::images {

inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerManifestList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerSchema1 =
    "application/vnd.docker.distribution.manifest.v1+prettyjws";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr std::string_view kDockerLayerGzip =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayerZstd =
    "application/vnd.docker.image.rootfs.diff.tar.zstd";
inline constexpr std::string_view kDockerForeignLayer =
    "application/vnd.docker.image.rootfs.foreign.diff.tar";
inline constexpr std::string_view kDockerForeignLayerGzip =
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kErofsLayer = "application/vnd.erofs.layer.v1";
inline constexpr std::string_view kInToto = "application/vnd.in-toto+json";
inline constexpr std::string_view kOctetStream = "application/octet-stream";

bool IsManifest(std::string_view media_type);
bool IsIndex(std::string_view media_type);
bool IsConfig(std::string_view media_type);       // Of an image, Docker's or OCI's.
bool IsKnownConfig(std::string_view media_type);  // Those, and the configs of checkpoints.
bool IsLayer(std::string_view media_type);
bool IsNonDistributable(std::string_view media_type);  // Foreign layers too.

}  // namespace ctrd::images
