// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/metadata/database.h"
#include "images/lease.h"

namespace ctrd::metadata {

// The leases of all namespaces; see images/lease.h. Leases publish no events.
class LeaseStore final : public images::LeaseManager {
 public:
  explicit LeaseStore(Database& database) : database_(database) {}

  absl::StatusOr<images::Lease> Create(const base::Context& context,
                                       const images::Lease& lease) override;
  absl::StatusOr<std::vector<images::Lease>> List(const base::Context& context,
                                                  const base::Filter& filter) override;
  absl::Status Delete(const base::Context& context, std::string_view id) override;
  absl::Status AddResource(const base::Context& context, std::string_view lease,
                           const images::LeaseResource& resource) override;
  absl::Status DeleteResource(const base::Context& context, std::string_view lease,
                              const images::LeaseResource& resource) override;
  // In order of type, then id.
  absl::StatusOr<std::vector<images::LeaseResource>> ListResources(const base::Context& context,
                                                                   std::string_view lease) override;

 private:
  Database& database_;
};

// For the other stores: what a call made goes to the lease of its context, if it has one.
//   kNotFound  "lease does not exist: not found"
absl::Status AddToLease(WriteTransaction& write, const base::Context& context,
                        std::string_view type, std::string_view id);
absl::Status CheckLease(ReadTransaction& read, const base::Context& context);
// An unknown lease is fine.
absl::Status RemoveFromLease(WriteTransaction& write, const base::Context& context,
                             std::string_view type, std::string_view id);

}  // namespace ctrd::metadata
