// SPDX-License-Identifier: Apache-2.0

// The JSON documents of images as plain structs. Parsers take any bytes up to kMaxDocumentBytes;
// fields of the wrong type count as malformed. A document is only ever read as one kind: what has
// the members of both a manifest and an index is refused, and so is one whose own media type names
// another kind than the descriptor that led to it.
//
// Source document: docs/api/distribution.md.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"
#include "base/identifiers.h"
#include "images/descriptor.h"

namespace ctrd::images {

// The most a manifest, an index or a config may hold.
inline constexpr int64_t kMaxDocumentBytes = 8 << 20;

inline constexpr std::string_view kRefNameAnnotation = "org.opencontainers.image.ref.name";
inline constexpr std::string_view kImageNameAnnotation = "io.containerd.image.name";
inline constexpr std::string_view kUncompressedLabel = "containerd.io/uncompressed";
inline constexpr std::string_view kSourceLabelPrefix = "containerd.io/distribution.source.";
inline constexpr std::string_view kGcContentLabelPrefix = "containerd.io/gc.ref.content.";
inline constexpr std::string_view kGcSnapshotLabelPrefix = "containerd.io/gc.ref.snapshot.";

struct Manifest {
  std::string media_type;  // As the document says; may be empty.
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::map<std::string, std::string> annotations;
};

struct Index {
  std::string media_type;
  std::vector<Descriptor> manifests;
  std::map<std::string, std::string> annotations;
};

struct ImageConfig {
  Platform platform;
  std::string rootfs_type;
  std::vector<std::string> diff_ids;
  // What a container of the image runs by default.
  std::string user;
  std::vector<std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;
};

// kUnknown "media-type: expected manifest but found index (<media type>)" and the like.
absl::StatusOr<Manifest> ParseManifest(std::string_view json, std::string_view media_type);
absl::StatusOr<Index> ParseIndex(std::string_view json, std::string_view media_type);
absl::StatusOr<ImageConfig> ParseImageConfig(std::string_view json);
// One element of docker's manifest.json.
struct DockerArchiveEntry {
  std::string config;
  std::vector<std::string> repo_tags;
  std::vector<std::string> layers;
};
absl::StatusOr<std::vector<DockerArchiveEntry>> ParseDockerArchive(std::string_view json);
std::string SerializeDockerArchive(const std::vector<DockerArchiveEntry>& entries);
// The version in an `oci-layout` file.
absl::StatusOr<std::string> ParseLayoutVersion(std::string_view json);

// Compact JSON with members in the order of the OCI specification.
std::string SerializeManifest(const Manifest& manifest);
std::string SerializeIndex(const Index& index);
std::string SerializeDescriptor(const Descriptor& descriptor);

// What the document of `parent` leads to: config and layers, or manifests, in their order. Nothing
// for what is neither manifest nor index.
absl::StatusOr<std::vector<Descriptor>> ChildrenOf(const Descriptor& parent, std::string_view json);

// The labels by which a parent's blob keeps `children` from being collected.
base::Labels GcLabelsFor(const std::vector<Descriptor>& children);

// Chain ids of the layers whose uncompressed digests are `diff_ids`, lowest first.
std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids);

// The name under which a blob is ingested: "layer-sha256:…", "manifest-sha256:…", ….
std::string IngestRef(const Descriptor& descriptor);

}  // namespace ctrd::images
