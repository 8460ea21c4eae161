// SPDX-License-Identifier: Apache-2.0

// Leases keep resources from being collected. Implemented by daemon/metadata.
// Source document: docs/api/leases.md.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/filter.h"
#include "base/identifiers.h"

namespace ctrd::images {

inline constexpr std::string_view kGcExpireLabel = "containerd.io/gc.expire";

struct Lease {
  std::string id;
  absl::Time created;
  base::Labels labels;
};
base::FieldLookup FieldsOf(const Lease& lease);  // id, labels.<key>

struct LeaseResource {
  std::string id;
  std::string type;  // "content", "images", "ingests", "snapshots/<snapshotter>"
  friend bool operator==(const LeaseResource&, const LeaseResource&) = default;
};

class LeaseManager {
 public:
  virtual ~LeaseManager() = default;
  virtual absl::StatusOr<Lease> Create(const base::Context& context, const Lease& lease) = 0;
  virtual absl::StatusOr<std::vector<Lease>> List(const base::Context& context,
                                                  const base::Filter& filter) = 0;
  // Removes the lease; what it alone kept goes at the next collection.
  virtual absl::Status Delete(const base::Context& context, std::string_view id) = 0;
  virtual absl::Status AddResource(const base::Context& context, std::string_view lease,
                                   const LeaseResource& resource) = 0;
  virtual absl::Status DeleteResource(const base::Context& context, std::string_view lease,
                                      const LeaseResource& resource) = 0;
  virtual absl::StatusOr<std::vector<LeaseResource>> ListResources(const base::Context& context,
                                                                   std::string_view lease) = 0;
};

// A lease for the time of one operation, deleted when the object goes. A context that has a lease
// already keeps it, and nothing is made. Expires after 24 hours should the daemon die before.
class TemporaryLease {
 public:
  static absl::StatusOr<TemporaryLease> Create(const base::Context& context, LeaseManager& leases);
  TemporaryLease(TemporaryLease&& other) noexcept;
  TemporaryLease& operator=(TemporaryLease&&) = delete;
  ~TemporaryLease();
  // The context to work with.
  const base::Context& context() const { return context_; }

 private:
  TemporaryLease(base::Context context, LeaseManager* leases)
      : context_(std::move(context)), leases_(leases) {}
  base::Context context_;
  LeaseManager* leases_;  // Null when there is nothing to delete.
};

}  // namespace ctrd::images
