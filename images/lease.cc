// SPDX-License-Identifier: Apache-2.0
#include "images/lease.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/time.h"

namespace ctrd::images {
namespace {

constexpr absl::Duration kTemporaryLifetime = absl::Hours(24);

}  // namespace

base::FieldLookup FieldsOf(const Lease& lease) {
  return [&lease](const base::FieldPath& path) -> std::optional<std::string> {
    if (path.size() == 1 && path[0] == "id" && !lease.id.empty()) return lease.id;
    if (path.size() < 2 || path[0] != "labels") return std::nullopt;
    const auto label = lease.labels.find(base::JoinFieldPath(path, 1));
    if (label == lease.labels.end()) return std::nullopt;
    return label->second;
  };
}

absl::StatusOr<TemporaryLease> TemporaryLease::Create(const base::Context& context,
                                                      LeaseManager& leases) {
  if (!context.lease().empty()) return TemporaryLease(context, nullptr);
  Lease wanted;
  wanted.labels[std::string(kGcExpireLabel)] =
      base::FormatRfc3339(absl::Now() + kTemporaryLifetime);
  ASSIGN_OR_RETURN(const Lease lease, leases.Create(context, wanted));
  return TemporaryLease(context.WithLease(lease.id), &leases);
}

TemporaryLease::TemporaryLease(TemporaryLease&& other) noexcept
    : context_(std::move(other.context_)), leases_(std::exchange(other.leases_, nullptr)) {}

TemporaryLease::~TemporaryLease() {
  if (leases_ == nullptr) return;
  // Also when the caller has gone: the lease must not wait a day for its end.
  const absl::Status status = leases_->Delete(context_.Detached(), context_.lease());
  if (!status.ok() && !absl::IsNotFound(status)) {
    base::LogWarn("temporary lease not deleted, left to expire",
                  {{"lease", context_.lease()}, {"error", status}});
  }
}

}  // namespace ctrd::images
