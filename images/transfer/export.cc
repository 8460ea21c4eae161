// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/export.h"

#include <map>
#include <set>

#include "base/log.h"
#include "base/status.h"
#include "images/archive/tar_writer.h"
#include "images/spec/documents.h"
#include "images/spec/media_types.h"
#include "images/spec/platform.h"
#include "images/spec/reference.h"

namespace ctrd::transfer {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::string_view kLayout = R"({"imageLayoutVersion":"1.0.0"})";

class SinkAdapter : public archive::ByteSink {
 public:
  SinkAdapter(const base::Context& context, transfer::ByteSink& sink)
      : context_(context), sink_(sink) {}
  absl::Status Write(std::string_view data) override { return sink_.Write(context_, data); }

 private:
  const base::Context& context_;
  transfer::ByteSink& sink_;
};

class Exporter {
 public:
  Exporter(const base::Context& context, content::ContentStore& store, const ExportEnd& to)
      : context_(context),
        store_(store),
        to_(to),
        matcher_(to.platforms.empty() ? images::PlatformMatcher::OnlyStrict(images::HostPlatform())
                                      : images::PlatformMatcher::Ordered(to.platforms)) {}

  absl::Status Add(const images::Image& image) {
    Descriptor entry = image.target;
    const bool is_index = images::IsIndex(entry.media_type);
    if (!is_index && !images::IsManifest(entry.media_type)) {
      return base::InvalidArgument("only manifests may be exported");
    }
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(entry.digest));
    const auto info = store_.Stat(context_, digest);
    if (!info.ok()) {
      base::LogWarn("image without its content, skipping",
                    {{"image", image.name}, {"error", info.status()}});
      return absl::OkStatus();
    }
    for (const auto& [key, value] : info->labels) {
      if (key.starts_with(images::kSourceLabelPrefix)) entry.annotations[key] = value;
    }
    entry.annotations[std::string(images::kImageNameAnnotation)] = image.name;
    const auto reference = images::Reference::Parse(image.name);
    const bool tagged =
        reference.ok() && !reference->object.empty() && !reference->object.starts_with('@');
    entry.annotations[std::string(images::kRefNameAnnotation)] =
        tagged ? reference->object : image.name;
    index_.manifests.push_back(entry);

    Descriptor best = image.target;
    if (is_index) {
      ASSIGN_OR_RETURN(best, AddIndex(image.target, 0));
    } else {
      RETURN_IF_ERROR(AddManifest(image.target));
    }
    return best.digest.empty() ? absl::OkStatus() : AddDockerEntry(best, image.name);
  }

  absl::Status Write() {
    index_.media_type = images::kOciIndex;
    SinkAdapter sink(context_, *to_.sink);
    archive::TarWriter tar(sink);
    RETURN_IF_ERROR(WriteDirectory(tar, "blobs/"));
    std::string algorithm;
    // Names sort as the digests do: "blobs/<algorithm>/<hex>".
    for (const base::Digest& digest : blobs_) {
      if (digest.algorithm() != algorithm) {
        algorithm = digest.algorithm();
        RETURN_IF_ERROR(WriteDirectory(tar, fmt::format("blobs/{}/", algorithm)));
      }
      RETURN_IF_ERROR(WriteBlob(tar, digest));
    }
    RETURN_IF_ERROR(WriteFile(tar, "index.json", 0644, images::SerializeIndex(index_)));
    if (!to_.skip_compatibility_manifest) {
      RETURN_IF_ERROR(
          WriteFile(tar, "manifest.json", 0644, images::SerializeDockerArchive(docker_)));
    }
    RETURN_IF_ERROR(WriteFile(tar, "oci-layout", 0444, kLayout));
    return tar.Finish();
  }

 private:
  absl::StatusOr<std::string> Read(const Descriptor& descriptor) {
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(descriptor.digest));
    return content::ReadBlob(context_, store_, digest, images::kMaxDocumentBytes);
  }

  absl::Status AddBlob(const Descriptor& descriptor) {
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(descriptor.digest));
    RETURN_IF_ERROR(store_.Stat(context_, digest).status());
    blobs_.insert(digest);
    return absl::OkStatus();
  }

  absl::Status AddManifest(const Descriptor& manifest) {
    RETURN_IF_ERROR(AddBlob(manifest));
    ASSIGN_OR_RETURN(const std::string text, Read(manifest));
    ASSIGN_OR_RETURN(const auto children, images::ChildrenOf(manifest, text));
    for (const Descriptor& child : children) {
      if (to_.skip_non_distributable && images::IsNonDistributable(child.media_type)) continue;
      RETURN_IF_ERROR(AddBlob(child));
    }
    return absl::OkStatus();
  }

  // The platform that an index's entry has, or else its image's config says.
  absl::StatusOr<Platform> PlatformOf(const Descriptor& entry) {
    if (!entry.platform.empty() || !images::IsManifest(entry.media_type)) return entry.platform;
    ASSIGN_OR_RETURN(const std::string text, Read(entry));
    ASSIGN_OR_RETURN(const images::Manifest manifest,
                     images::ParseManifest(text, entry.media_type));
    if (!images::IsConfig(manifest.config.media_type)) return Platform{};
    ASSIGN_OR_RETURN(const std::string config, Read(manifest.config));
    ASSIGN_OR_RETURN(const images::ImageConfig parsed, images::ParseImageConfig(config));
    return parsed.platform;
  }

  // Adds the index and those of its manifests that are wanted; returns the one wanted most, an
  // empty descriptor if there is none and all were asked for.
  absl::StatusOr<Descriptor> AddIndex(const Descriptor& index, int depth) {
    if (depth > kMaxDepth) return base::InvalidArgument("indexes are nested too deeply");
    RETURN_IF_ERROR(AddBlob(index));
    ASSIGN_OR_RETURN(const std::string text, Read(index));
    ASSIGN_OR_RETURN(auto children, images::ChildrenOf(index, text));
    std::vector<Descriptor> matching;
    for (Descriptor& child : children) {
      auto platform = PlatformOf(child);
      if (!platform.ok() && (to_.all_platforms || !absl::IsNotFound(platform.status()))) {
        return platform.status();
      }
      const bool matches = platform.ok() && !platform->empty() && matcher_.Matches(*platform);
      if (!to_.all_platforms && !matches) continue;
      if (images::IsIndex(child.media_type)) {
        RETURN_IF_ERROR(AddIndex(child, depth + 1).status());
      } else if (images::IsManifest(child.media_type)) {
        RETURN_IF_ERROR(AddManifest(child));
      } else {
        RETURN_IF_ERROR(AddBlob(child));
      }
      if (!matches) continue;
      child.platform = *platform;
      matching.push_back(std::move(child));
    }
    if (matching.empty()) {
      if (!to_.all_platforms) return base::NotFound("no manifest found for platform");
      return Descriptor{};
    }
    images::SortByPlatform(matcher_, matching);
    return matching.front();
  }

  absl::Status AddDockerEntry(const Descriptor& manifest_descriptor, const std::string& name) {
    if (!images::IsManifest(manifest_descriptor.media_type)) return absl::OkStatus();
    const auto [known, added] =
        docker_by_digest_.emplace(manifest_descriptor.digest, docker_.size());
    if (added) {
      ASSIGN_OR_RETURN(const std::string text, Read(manifest_descriptor));
      ASSIGN_OR_RETURN(const images::Manifest manifest,
                       images::ParseManifest(text, manifest_descriptor.media_type));
      images::DockerArchiveEntry& entry = docker_.emplace_back();
      ASSIGN_OR_RETURN(entry.config, BlobName(manifest.config));
      for (const Descriptor& layer : manifest.layers) {
        ASSIGN_OR_RETURN(entry.layers.emplace_back(), BlobName(layer));
      }
    }
    if (const auto full = images::NormalizeName(name); full.ok()) {
      docker_[known->second].repo_tags.push_back(images::FamiliarName(*full));
    }
    return absl::OkStatus();
  }

  static std::string NameOf(const base::Digest& digest) {
    return fmt::format("blobs/{}/{}", digest.algorithm(), digest.hex());
  }

  static absl::StatusOr<std::string> BlobName(const Descriptor& descriptor) {
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(descriptor.digest));
    return NameOf(digest);
  }

  static absl::Status WriteDirectory(archive::TarWriter& tar, const std::string& name) {
    archive::TarEntry entry;
    entry.name = name;
    entry.type = archive::TarType::kDirectory;
    entry.mode = 0755;
    return tar.WriteHeader(entry);
  }

  static absl::Status WriteFile(archive::TarWriter& tar, const std::string& name, uint32_t mode,
                                std::string_view data) {
    archive::TarEntry entry;
    entry.name = name;
    entry.mode = mode;
    entry.size_bytes = static_cast<int64_t>(data.size());
    RETURN_IF_ERROR(tar.WriteHeader(entry));
    return tar.WriteData(data);
  }

  absl::Status WriteBlob(archive::TarWriter& tar, const base::Digest& digest) {
    ASSIGN_OR_RETURN(const auto reader, store_.OpenReader(context_, digest));
    archive::TarEntry entry;
    entry.name = NameOf(digest);
    entry.mode = 0444;
    entry.size_bytes = reader->size_bytes();
    RETURN_IF_ERROR(tar.WriteHeader(entry));
    base::Hasher hasher(digest.algorithm());
    std::vector<char> buffer(256 << 10);
    for (int64_t offset = 0; offset < entry.size_bytes;) {
      RETURN_IF_ERROR(context_.Check());
      ASSIGN_OR_RETURN(const size_t count, reader->ReadAt(offset, buffer));
      if (count == 0) return base::Unknown("read content {}: unexpected EOF", digest.text());
      const std::string_view data(buffer.data(), count);
      hasher.Update(data);
      RETURN_IF_ERROR(tar.WriteData(data));
      offset += static_cast<int64_t>(count);
    }
    if (hasher.Current() != digest) {
      return base::Unknown("unexpected digest {} copied", hasher.Current().text());
    }
    return absl::OkStatus();
  }

  const base::Context& context_;
  content::ContentStore& store_;
  const ExportEnd& to_;
  const images::PlatformMatcher matcher_;
  images::Index index_;
  std::vector<images::DockerArchiveEntry> docker_;
  std::map<std::string, size_t> docker_by_digest_;
  std::set<base::Digest> blobs_;
};

}  // namespace

absl::Status WriteArchive(const base::Context& context, content::ContentStore& store,
                          const std::vector<images::Image>& images, const ExportEnd& to) {
  Exporter exporter(context, store, to);
  for (const images::Image& image : images) RETURN_IF_ERROR(exporter.Add(image));
  return exporter.Write();
}

}  // namespace ctrd::transfer
