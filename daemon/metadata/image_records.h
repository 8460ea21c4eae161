// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/metadata/database.h"
#include "images/image_store.h"

namespace ctrd::metadata {

// The images of all namespaces; see images/image_store.h. Publishes /images/….
class ImageRecords final : public images::ImageStore {
 public:
  explicit ImageRecords(Database& database) : database_(database) {}

  absl::StatusOr<images::Image> Get(const base::Context& context, std::string_view name) override;
  absl::StatusOr<std::vector<images::Image>> List(const base::Context& context,
                                                  const base::Filter& filter) override;
  absl::StatusOr<images::Image> Create(const base::Context& context, const images::Image& image,
                                       std::optional<absl::Time> time) override;
  absl::StatusOr<images::Image> Update(const base::Context& context, const images::Image& image,
                                       const std::vector<std::string>& mask,
                                       std::optional<absl::Time> time) override;
  absl::Status Delete(const base::Context& context, std::string_view name,
                      const std::optional<images::Descriptor>& target) override;

 private:
  Database& database_;
};

}  // namespace ctrd::metadata
