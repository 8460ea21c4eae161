// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/docker_archive.h"

#include <array>
#include <vector>

#include "base/filter.h"
#include "base/status.h"
#include "images/archive/compression.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "images/spec/reference.h"
#include "images/transfer/fetcher.h"

namespace ctrd::transfer {
namespace {

class WriterSink : public archive::ByteSink {
 public:
  explicit WriterSink(content::Writer& writer) : writer_(writer) {}
  absl::Status Write(std::string_view data) override {
    size_ += static_cast<int64_t>(data.size());
    return writer_.Write(data);
  }
  int64_t size_bytes() const { return size_; }

 private:
  content::Writer& writer_;
  int64_t size_ = 0;
};

absl::StatusOr<archive::Compression> Sniff(const base::Context& context,
                                           content::ContentStore& store,
                                           const base::Digest& digest) {
  ASSIGN_OR_RETURN(const auto reader, store.OpenReader(context, digest));
  std::array<char, 16> head{};
  ASSIGN_OR_RETURN(const size_t count, reader->ReadAt(0, head));
  return archive::DetectCompression({head.data(), count});
}

std::string_view LayerType(archive::Compression compression) {
  return compression == archive::Compression::kNone ? images::kDockerLayer
                                                    : images::kDockerLayerGzip;
}

// A blob that is known to hold the same layer compressed; an empty descriptor if there is none.
absl::StatusOr<Descriptor> FindCompressed(const base::Context& context,
                                          content::ContentStore& store,
                                          const std::string& diff_id) {
  const std::vector<std::string> filters = {
      fmt::format("labels.\"{}\"=={}", images::kUncompressedLabel, diff_id)};
  ASSIGN_OR_RETURN(const base::Filter filter, base::Filter::Parse(filters));
  Descriptor found;
  RETURN_IF_ERROR(store.Walk(context, filter, [&](const content::Info& info) {
    if (found.digest.empty() && info.digest.text() != diff_id) {
      found.digest = info.digest.text();
      found.size_bytes = info.size_bytes;
    }
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<Descriptor> Compress(const base::Context& context, content::ContentStore& store,
                                    const base::Digest& digest) {
  const std::string ref = fmt::format("compress-blob-{}-{}", digest.algorithm(), digest.hex());
  ASSIGN_OR_RETURN(auto writer, OpenWriterPatiently(context, store, {.ref = ref}));
  if (writer->status().offset_bytes > 0) RETURN_IF_ERROR(writer->Truncate(0));
  WriterSink sink(*writer);
  ASSIGN_OR_RETURN(const auto compressor,
                   archive::OpenCompressor(archive::Compression::kGzip, sink));
  ASSIGN_OR_RETURN(const auto reader, store.OpenReader(context, digest));
  std::vector<char> buffer(256 << 10);
  for (int64_t offset = 0;;) {
    RETURN_IF_ERROR(context.Check());
    ASSIGN_OR_RETURN(const size_t count, reader->ReadAt(offset, buffer));
    if (count == 0) break;
    RETURN_IF_ERROR(compressor->Write({buffer.data(), count}));
    offset += static_cast<int64_t>(count);
  }
  RETURN_IF_ERROR(compressor->Finish());
  const base::Digest compressed = writer->digest();
  const base::Labels labels = {{std::string(images::kUncompressedLabel), digest.text()}};
  const absl::Status committed = writer->Commit(context, sink.size_bytes(), compressed, labels);
  if (absl::IsAlreadyExists(committed)) {
    RETURN_IF_ERROR(MergeLabels(context, store, compressed, labels));
  } else {
    RETURN_IF_ERROR(committed);
  }
  Descriptor out;
  out.media_type = images::kDockerLayerGzip;
  out.digest = compressed.text();
  out.size_bytes = sink.size_bytes();
  return out;
}

absl::StatusOr<Descriptor> LayerOf(const base::Context& context, content::ContentStore& store,
                                   const ArchiveFiles& files, const std::string& path,
                                   bool force_compress) {
  const std::string name = CleanArchivePath(path);
  auto blob = files.blobs.find(name);
  if (blob == files.blobs.end()) {
    const auto link = files.symlinks.find(name);
    if (link == files.symlinks.end()) return base::Unknown("layer {} not found", base::Quote(path));
    blob = files.blobs.find(link->second);
    if (blob == files.blobs.end()) {
      return base::Unknown("no target for symlink layer from {} to {}", base::Quote(path),
                           base::Quote(link->second));
    }
  }
  Descriptor layer = blob->second;
  ASSIGN_OR_RETURN(const Descriptor known, FindCompressed(context, store, layer.digest));
  if (!known.digest.empty()) layer = known;
  ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(layer.digest));
  ASSIGN_OR_RETURN(const archive::Compression compression, Sniff(context, store, digest));
  if (force_compress && compression == archive::Compression::kNone) {
    return Compress(context, store, digest);
  }
  layer.media_type = LayerType(compression);
  return layer;
}

// Stores a document with the labels that keep its children.
absl::StatusOr<Descriptor> StoreDocument(const base::Context& context, content::ContentStore& store,
                                         std::string_view media_type, const std::string& text,
                                         const std::vector<Descriptor>& children) {
  const base::Digest digest = base::Digest::Of(text);
  Descriptor out;
  out.media_type = media_type;
  out.digest = digest.text();
  out.size_bytes = static_cast<int64_t>(text.size());
  const base::Labels labels = images::GcLabelsFor(children);
  RETURN_IF_ERROR(content::WriteBlob(context, store, images::IngestRef(out), text, digest, labels));
  RETURN_IF_ERROR(MergeLabels(context, store, digest, labels));
  return out;
}

absl::Status AddElement(const base::Context& context, content::ContentStore& store,
                        const ArchiveFiles& files, const images::DockerArchiveEntry& entry,
                        bool force_compress, images::Index& index) {
  const auto config = files.blobs.find(CleanArchivePath(entry.config));
  if (config == files.blobs.end()) {
    return base::Unknown("image config {} not found", base::Quote(entry.config));
  }
  images::Manifest manifest;
  manifest.media_type = images::kDockerManifest;
  manifest.config = config->second;
  manifest.config.media_type = images::kDockerConfig;
  std::vector<Descriptor> children = {manifest.config};
  for (const std::string& path : entry.layers) {
    ASSIGN_OR_RETURN(manifest.layers.emplace_back(),
                     LayerOf(context, store, files, path, force_compress));
    children.push_back(manifest.layers.back());
  }
  ASSIGN_OR_RETURN(Descriptor descriptor,
                   StoreDocument(context, store, images::kDockerManifest,
                                 images::SerializeManifest(manifest), children));
  ASSIGN_OR_RETURN(const base::Digest config_digest, base::Digest::Parse(manifest.config.digest));
  ASSIGN_OR_RETURN(const std::string text,
                   content::ReadBlob(context, store, config_digest, images::kMaxDocumentBytes));
  ASSIGN_OR_RETURN(const images::ImageConfig parsed, images::ParseImageConfig(text));
  descriptor.platform = images::Platform{.os = parsed.platform.os,
                                         .architecture = parsed.platform.architecture,
                                         .variant = parsed.platform.variant};
  if (entry.repo_tags.empty()) index.manifests.push_back(descriptor);
  for (const std::string& tag : entry.repo_tags) {
    ASSIGN_OR_RETURN(const std::string name, images::NormalizeName(tag));
    ASSIGN_OR_RETURN(const images::Reference reference, images::Reference::Parse(name));
    Descriptor& named = index.manifests.emplace_back(descriptor);
    named.annotations[std::string(images::kImageNameAnnotation)] = name;
    named.annotations[std::string(images::kRefNameAnnotation)] = reference.object;
  }
  return absl::OkStatus();
}

}  // namespace

std::string CleanArchivePath(std::string_view path) {
  std::vector<std::string_view> parts;
  for (size_t start = 0; start <= path.size();) {
    const size_t slash = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, slash - start);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    start = slash + 1;
  }
  return fmt::format("{}", fmt::join(parts, "/"));
}

absl::StatusOr<Descriptor> IndexDockerArchive(const base::Context& context,
                                              content::ContentStore& store,
                                              const ArchiveFiles& files, bool force_compress) {
  ASSIGN_OR_RETURN(const auto entries, images::ParseDockerArchive(files.docker_manifest));
  images::Index index;
  for (const images::DockerArchiveEntry& entry : entries) {
    RETURN_IF_ERROR(AddElement(context, store, files, entry, force_compress, index));
  }
  return StoreDocument(context, store, images::kOciIndex, images::SerializeIndex(index),
                       index.manifests);
}

}  // namespace ctrd::transfer
