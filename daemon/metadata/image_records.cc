// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/image_records.h"

#include "absl/time/clock.h"
#include "base/digest.h"
#include "base/status.h"
#include "base/wire.h"
#include "daemon/metadata/labels.h"
#include "daemon/metadata/lease_store.h"
#include "daemon/metadata/records.h"

namespace ctrd::metadata {
namespace {

using base::InvalidArgument;
using base::NotFound;
using base::Quote;
using images::Image;

constexpr std::string_view kResourceType = "images";

std::string KeyOf(std::string_view ns, std::string_view name) {
  return store::Key({table::kImages, ns, name});
}

absl::Status Validate(const Image& image) {
  if (image.name.empty()) return InvalidArgument("image name must not be empty");
  RETURN_IF_ERROR(base::ValidateLabels(image.labels, "image.Labels"));
  if (const auto digest = base::Digest::Parse(image.target.digest); !digest.ok()) {
    return InvalidArgument("target.Digest {} invalid: {}", Quote(image.target.digest),
                           base::MessageOf(digest.status()));
  }
  if (image.target.size_bytes <= 0) {
    return InvalidArgument("target.Size must be greater than zero");
  }
  if (image.target.media_type.empty()) return InvalidArgument("target.MediaType must be set");
  return absl::OkStatus();
}

absl::Status ApplyPath(Image& stored, const Image& wanted, const std::string& path) {
  if (path == "labels") {
    stored.labels = wanted.labels;
  } else if (path == "target") {
    stored.target = wanted.target;
  } else if (path == "annotations") {
    stored.target.annotations = wanted.target.annotations;
  } else if (const auto label = KeyOfPath(path, "labels")) {
    SetLabel(stored.labels, wanted.labels, *label);
  } else if (const auto annotation = KeyOfPath(path, "annotations")) {
    SetLabel(stored.target.annotations, wanted.target.annotations, *annotation);
  } else {
    return InvalidArgument("cannot update {} field on image {}", Quote(path), Quote(stored.name));
  }
  return absl::OkStatus();
}

absl::Status ApplyMask(Image& stored, const Image& wanted, const std::vector<std::string>& mask) {
  if (mask.empty()) {
    stored.labels = wanted.labels;
    stored.target = wanted.target;
  }
  for (const std::string& path : mask) RETURN_IF_ERROR(ApplyPath(stored, wanted, path));
  return absl::OkStatus();
}

// Ordinary images are roots and need no lease.
absl::Status LeaseIfExpiring(WriteTransaction& write, const base::Context& context,
                             const Image& image) {
  if (!image.labels.contains(std::string(images::kGcExpireLabel))) return absl::OkStatus();
  return AddToLease(write, context, kResourceType, image.name);
}

std::string Payload(const Image& image) {
  return base::WireWriter().Bytes(1, image.name).StringMap(2, image.labels).Take();
}

}  // namespace

absl::StatusOr<Image> ImageRecords::Get(const base::Context& context, std::string_view name) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  Image image;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(auto found, Find<Image>(read, KeyOf(context.namespace_name(), name)));
    if (!found) return NotFound("image {}", Quote(name));
    image = *std::move(found);
    return absl::OkStatus();
  }));
  image.name = name;
  return image;
}

absl::StatusOr<std::vector<Image>> ImageRecords::List(const base::Context& context,
                                                      const base::Filter& filter) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  std::vector<Image> found;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(store::Key({table::kImages, context.namespace_name()}),
                     [&](std::string_view key, std::string_view value) {
                       Image image;
                       Decode(value, image);
                       image.name = store::SplitKey(key)[2];
                       if (filter.Matches(FieldsOf(image))) found.push_back(std::move(image));
                       return true;
                     });
  }));
  return found;
}

absl::StatusOr<Image> ImageRecords::Create(const base::Context& context, const Image& image,
                                           std::optional<absl::Time> time) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  if (image.name.empty()) return InvalidArgument("Image.Name required");
  RETURN_IF_ERROR(Validate(image));
  Image created = image;
  ASSIGN_OR_RETURN(created.labels, CheckLabels(image.labels, "image.Labels"));
  created.created = created.updated = time.value_or(absl::Now());
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool exists, Exists(write, KeyOf(ns, created.name)));
    if (exists) return base::AlreadyExists("image {}", Quote(created.name));
    RETURN_IF_ERROR(LeaseIfExpiring(write, context, created));
    RETURN_IF_ERROR(EnsureNamespace(write, ns));
    return write.Put(KeyOf(ns, created.name), Encode(created));
  }));
  RETURN_IF_ERROR(database_.Publish(ns, "/images/create",
                                    "containerd.services.images.v1.ImageCreate", Payload(created)));
  return created;
}

absl::StatusOr<Image> ImageRecords::Update(const base::Context& context, const Image& image,
                                           const std::vector<std::string>& mask,
                                           std::optional<absl::Time> time) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  if (image.name.empty()) return InvalidArgument("Image.Name required");
  Image updated;
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(auto found, Find<Image>(write, KeyOf(ns, image.name)));
    if (!found) return NotFound("image {}", Quote(image.name));
    updated = *std::move(found);
    updated.name = image.name;
    RETURN_IF_ERROR(ApplyMask(updated, image, mask));
    RETURN_IF_ERROR(Validate(updated));
    ASSIGN_OR_RETURN(updated.labels, CheckLabels(updated.labels, "image.Labels"));
    updated.updated = time.value_or(absl::Now());
    RETURN_IF_ERROR(LeaseIfExpiring(write, context, updated));
    return write.Put(KeyOf(ns, image.name), Encode(updated));
  }));
  RETURN_IF_ERROR(database_.Publish(ns, "/images/update",
                                    "containerd.services.images.v1.ImageUpdate", Payload(updated)));
  return updated;
}

absl::Status ImageRecords::Delete(const base::Context& context, std::string_view name,
                                  const std::optional<images::Descriptor>& target) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  RETURN_IF_ERROR(database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        ASSIGN_OR_RETURN(const auto found, Find<Image>(write, KeyOf(ns, name)));
        if (!found) return NotFound("image {}", Quote(name));
        if (target && !target->digest.empty() && target->digest != found->target.digest) {
          return NotFound("image {} has target {}, not {}", Quote(name), found->target.digest,
                          target->digest);
        }
        RETURN_IF_ERROR(RemoveFromLease(write, context, kResourceType, name));
        return write.Delete(KeyOf(ns, name));
      },
      Change::kDeletion));
  return database_.Publish(ns, "/images/delete", "containerd.services.images.v1.ImageDelete",
                           base::WireWriter().Bytes(1, name).Take());
}

}  // namespace ctrd::metadata
