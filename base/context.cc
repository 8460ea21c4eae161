// SPDX-License-Identifier: Apache-2.0
#include "base/context.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/identifiers.h"
#include "base/status.h"

namespace ctrd::base {

Context Context::WithNamespace(std::string name) const {
  Context copy = *this;
  copy.namespace_ = std::move(name);
  return copy;
}

Context Context::WithLease(std::string lease) const {
  Context copy = *this;
  copy.lease_ = std::move(lease);
  return copy;
}

Context Context::WithDeadline(absl::Time deadline) const {
  Context copy = *this;
  copy.deadline_ = std::min(deadline_, deadline);
  return copy;
}

Context Context::WithTimeout(absl::Duration timeout) const {
  return WithDeadline(absl::Now() + timeout);
}

Context Context::Detached() const {
  Context fresh(namespace_);
  fresh.lease_ = lease_;
  return fresh;
}

Context Context::WithCancelProbe(std::function<bool()> probe) const {
  Context copy = *this;
  copy.cancellation_ = std::make_shared<Cancellation>();
  copy.cancellation_->probe = std::move(probe);
  return copy;
}

bool Context::cancelled() const {
  if (cancellation_->flag.load(std::memory_order_relaxed)) return true;
  return cancellation_->probe && cancellation_->probe();
}

absl::Status Context::Check() const {
  if (cancelled()) return MakeError(absl::StatusCode::kCancelled, "");
  if (deadline_ != absl::InfiniteFuture() && absl::Now() >= deadline_) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "");
  }
  return absl::OkStatus();
}

absl::Status RequireNamespace(const Context& context) {
  if (context.namespace_name().empty()) return FailedPrecondition("namespace is required");
  return Annotate(ValidateIdentifier(context.namespace_name()), "namespace validation");
}

}  // namespace ctrd::base
