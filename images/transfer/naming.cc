// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/naming.h"

#include "base/status.h"
#include "base/time.h"
#include "images/lease.h"
#include "images/spec/documents.h"

namespace ctrd::transfer {
namespace {

constexpr int kMaxStoreAttempts = 100;
constexpr std::string_view kBackReferenceLabel = "containerd.io/gc.bref.image";

// The name that a tag or a name of an archive gets under a prefix; "" for none.
std::string Translate(const ExtraReference& reference, const std::string& name) {
  if (name.empty()) return "";
  if (name.find_first_of("/:@") == std::string::npos) return reference.name + ":" + name;
  if (reference.allow_overwrite || name == reference.name) return name;
  const bool below =
      name.starts_with(reference.name) &&
      std::string_view("/:@").find(name[reference.name.size()]) != std::string_view::npos;
  return below ? name : "";
}

std::string NameFromArchive(const ExtraReference& reference, const Descriptor& target) {
  const auto full = target.annotations.find(std::string(images::kImageNameAnnotation));
  if (full != target.annotations.end()) {
    return Translate(reference, full->second) == full->second ? full->second : "";
  }
  const auto tag = target.annotations.find(std::string(images::kRefNameAnnotation));
  return tag == target.annotations.end() ? "" : Translate(reference, tag->second);
}

std::vector<std::string> NamesFor(const ExtraReference& reference, const Descriptor& target,
                                  Origin origin) {
  const std::string by_digest = reference.name + "@" + target.digest;
  if (origin == Origin::kNamed) {
    if (reference.is_prefix) {
      return reference.add_digest ? std::vector{by_digest} : std::vector<std::string>{};
    }
    if (reference.add_digest) return {reference.name, by_digest};
    return {reference.name};
  }
  if (!reference.is_prefix) return {};
  std::vector<std::string> names;
  const std::string name = NameFromArchive(reference, target);
  if (!name.empty()) names.push_back(name);
  if (reference.add_digest && (name.empty() || !reference.skip_named_digest)) {
    names.push_back(by_digest);
  }
  return names;
}

}  // namespace

std::vector<images::Image> ImagesFor(const StoreEnd& store, const Descriptor& target, Origin origin,
                                     absl::Time now) {
  std::vector<images::Image> out;
  images::Image image{.name = store.name, .labels = store.labels, .target = target};
  // The image's record describes the blob, not the document that mentioned it.
  image.target.platform = {};
  image.target.data.clear();
  image.target.urls.clear();
  if (origin == Origin::kNamed && !store.name.empty()) out.push_back(image);
  if (!store.name.empty()) {
    image.labels[std::string(kBackReferenceLabel)] = store.name;
    image.labels[std::string(images::kGcExpireLabel)] = base::FormatRfc3339(now);
  }
  for (const ExtraReference& reference : store.extra_references) {
    for (const std::string& name : NamesFor(reference, target, origin)) {
      image.name = name;
      out.push_back(image);
    }
  }
  return out;
}

absl::Status StoreImage(const base::Context& context, images::ImageStore& store,
                        const images::Image& image) {
  // Somebody may create or remove the name between the two steps.
  for (int attempt = 0; attempt < kMaxStoreAttempts; ++attempt) {
    const absl::Status created = store.Create(context, image).status();
    if (!absl::IsAlreadyExists(created)) return created;
    const absl::Status updated = store.Update(context, image, {}).status();
    if (!absl::IsNotFound(updated)) return updated;
  }
  return base::Unavailable("image {} keeps changing", base::Quote(image.name));
}

}  // namespace ctrd::transfer
