// SPDX-License-Identifier: Apache-2.0
#include "ctr/image_reader.h"

#include <set>

#include "images/spec/media_types.h"
#include "services/content/v1/content.grpc.pb.h"
#include "services/images/v1/images.grpc.pb.h"

namespace ctrd::ctr {
namespace {

namespace content = containerd::services::content::v1;
namespace image_api = containerd::services::images::v1;

// Manifests of an index that suit `matcher`, the best first.
std::vector<images::Descriptor> Candidates(const images::Index& index,
                                           const images::PlatformMatcher& matcher) {
  std::vector<images::Descriptor> candidates;
  for (const images::Descriptor& manifest : index.manifests) {
    if (manifest.platform.empty() || matcher.Matches(manifest.platform)) {
      candidates.push_back(manifest);
    }
  }
  images::SortByPlatform(matcher, candidates);
  return candidates;
}

}  // namespace

images::Descriptor FromProto(const containerd::types::Descriptor& descriptor) {
  images::Descriptor result;
  result.media_type = descriptor.media_type();
  result.digest = descriptor.digest();
  result.size_bytes = descriptor.size();
  result.annotations = {descriptor.annotations().begin(), descriptor.annotations().end()};
  return result;
}

containerd::types::Descriptor ToProto(const images::Descriptor& descriptor) {
  containerd::types::Descriptor result;
  result.set_media_type(descriptor.media_type);
  result.set_digest(descriptor.digest);
  result.set_size(descriptor.size_bytes);
  for (const auto& [key, value] : descriptor.annotations) {
    (*result.mutable_annotations())[key] = value;
  }
  return result;
}

absl::StatusOr<image_api::Image> GetImage(const Client& client, const std::string& name) {
  image_api::GetImageRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(auto response, client.Call(&image_api::Images::Stub::Get, request));
  return std::move(*response.mutable_image());
}

absl::StatusOr<std::string> ReadDocument(const Client& client, const std::string& digest) {
  content::ReadContentRequest request;
  request.set_digest(digest);
  std::string document;
  RETURN_IF_ERROR(client.Stream(&content::Content::Stub::Read, request,
                                [&](const content::ReadContentResponse& part) {
                                  document += part.data();
                                  return document.size() > images::kMaxDocumentBytes
                                             ? base::Unknown("document {} is too large", digest)
                                             : absl::OkStatus();
                                }));
  return document;
}

bool BlobExists(const Client& client, const std::string& digest) {
  content::InfoRequest request;
  request.set_digest(digest);
  return client.Call(&content::Content::Stub::Info, request).ok();
}

absl::StatusOr<images::Manifest> ResolveManifest(const Client& client,
                                                 const images::Descriptor& target,
                                                 const images::PlatformMatcher& matcher,
                                                 images::Descriptor* found) {
  if (found != nullptr) *found = target;
  if (images::IsIndex(target.media_type)) {
    ASSIGN_OR_RETURN(const std::string json, ReadDocument(client, target.digest));
    ASSIGN_OR_RETURN(const images::Index index, images::ParseIndex(json, target.media_type));
    absl::Status missing;
    for (const images::Descriptor& candidate : Candidates(index, matcher)) {
      auto manifest = ResolveManifest(client, candidate, matcher, found);
      if (manifest.ok() || !absl::IsNotFound(manifest.status())) return manifest;
      missing = manifest.status();
    }
    if (!missing.ok()) return missing;
    return base::NotFound("no match for platform in manifest {}", target.digest);
  }
  if (!images::IsManifest(target.media_type)) {
    return base::NotFound("unexpected media type {} for {}", target.media_type, target.digest);
  }
  ASSIGN_OR_RETURN(const std::string json, ReadDocument(client, target.digest));
  return images::ParseManifest(json, target.media_type);
}

absl::StatusOr<ResolvedImage> ResolveImage(const Client& client, const images::Descriptor& target,
                                           const images::PlatformMatcher& matcher) {
  ResolvedImage image;
  ASSIGN_OR_RETURN(image.manifest,
                   ResolveManifest(client, target, matcher, &image.manifest_descriptor));
  if (!images::IsConfig(image.manifest.config.media_type)) {
    return base::Unknown("unknown image config media type {}", image.manifest.config.media_type);
  }
  ASSIGN_OR_RETURN(const std::string json, ReadDocument(client, image.manifest.config.digest));
  ASSIGN_OR_RETURN(image.config, images::ParseImageConfig(json));
  if (const auto chain = images::ChainIds(image.config.diff_ids); !chain.empty()) {
    image.chain_id = chain.back();
  }
  return image;
}

absl::StatusOr<int64_t> DeclaredSize(const Client& client, const images::Descriptor& target,
                                     const images::PlatformMatcher& matcher) {
  images::Descriptor found;
  ASSIGN_OR_RETURN(const images::Manifest manifest,
                   ResolveManifest(client, target, matcher, &found));
  int64_t size = found.size_bytes + manifest.config.size_bytes;
  if (found.digest != target.digest) size += target.size_bytes;
  for (const images::Descriptor& layer : manifest.layers) size += layer.size_bytes;
  return size;
}

absl::StatusOr<std::vector<std::string>> PlatformsOf(const Client& client,
                                                     const images::Descriptor& target) {
  std::set<std::string> platforms;
  ASSIGN_OR_RETURN(const std::string json, ReadDocument(client, target.digest));
  ASSIGN_OR_RETURN(const auto children, images::ChildrenOf(target, json));
  for (const images::Descriptor& child : children) {
    if (!child.platform.empty()) {
      platforms.insert(images::FormatPlatform(images::NormalizePlatform(child.platform)));
    } else if (images::IsConfig(child.media_type)) {
      ASSIGN_OR_RETURN(const std::string config_json, ReadDocument(client, child.digest));
      ASSIGN_OR_RETURN(const images::ImageConfig config, images::ParseImageConfig(config_json));
      platforms.insert(images::FormatPlatform(images::NormalizePlatform(config.platform)));
    }
  }
  return std::vector<std::string>(platforms.begin(), platforms.end());
}

}  // namespace ctrd::ctr
