// SPDX-License-Identifier: Apache-2.0

// ImageStore: names that point at a descriptor. Implemented by daemon/metadata; used by transfers.
// Thread-safe; every change is atomic, durable on return, and publishes its event afterwards.
//
// Source document: docs/api/images.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/filter.h"
#include "base/identifiers.h"
#include "images/descriptor.h"

namespace ctrd::images {

struct Image {
  std::string name;
  base::Labels labels;
  Descriptor target;
  absl::Time created;
  absl::Time updated;
};
base::FieldLookup FieldsOf(const Image& image);  // name, target.digest, target.mediatype, …

class ImageStore {
 public:
  virtual ~ImageStore() = default;
  virtual absl::StatusOr<Image> Get(const base::Context& context, std::string_view name) = 0;
  virtual absl::StatusOr<std::vector<Image>> List(const base::Context& context,
                                                  const base::Filter& filter) = 0;
  // `time` stamps the record instead of the clock (SOURCE_DATE_EPOCH).
  virtual absl::StatusOr<Image> Create(const base::Context& context, const Image& image,
                                       std::optional<absl::Time> time = std::nullopt) = 0;
  // `mask` as the API has it: "labels", "labels.<key>", "target", "annotations",
  // "annotations.<key>"; empty replaces labels and target.
  virtual absl::StatusOr<Image> Update(const base::Context& context, const Image& image,
                                       const std::vector<std::string>& mask,
                                       std::optional<absl::Time> time = std::nullopt) = 0;
  // With a `target` whose digest is not empty: only if the image points at that digest.
  virtual absl::Status Delete(const base::Context& context, std::string_view name,
                              const std::optional<Descriptor>& target = std::nullopt) = 0;
};

}  // namespace ctrd::images
