// SPDX-License-Identifier: Apache-2.0

// Context is what a call brings with it: whose objects it works on, what keeps the things it
// makes, and how long its caller is willing to wait. It comes first in every signature that needs
// it and carries nothing else.
//
// Copies share the cancellation. Thread-safe for reading; Cancel may come from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ctrd::base {

class Context {
 public:
  Context() = default;
  explicit Context(std::string namespace_name) : namespace_(std::move(namespace_name)) {}

  // The namespace as the caller sent it, "" for none. Not validated: RequireNamespace does that.
  const std::string& namespace_name() const { return namespace_; }
  // The id of the lease that gets what this call makes; "" for none.
  const std::string& lease() const { return lease_; }
  absl::Time deadline() const { return deadline_; }

  Context WithNamespace(std::string name) const;
  Context WithLease(std::string lease) const;
  // The earlier of this context's deadline and `deadline`.
  Context WithDeadline(absl::Time deadline) const;
  Context WithTimeout(absl::Duration timeout) const;
  // A context that does not end with this one: for clean-up after a failure.
  Context Detached() const;

  // A context of its own cancellation that also counts as cancelled once `probe` says so. It is
  // asked from any thread, for as long as there are copies.
  Context WithCancelProbe(std::function<bool()> probe) const;

  // Ends the call: of this context and of all copies made from it.
  void Cancel() const { cancellation_->flag.store(true, std::memory_order_relaxed); }
  bool cancelled() const;

  // kCancelled or kDeadlineExceeded once the caller no longer waits, else OK.
  absl::Status Check() const;

 private:
  std::string namespace_;
  std::string lease_;
  absl::Time deadline_ = absl::InfiniteFuture();
  struct Cancellation {
    std::atomic<bool> flag = false;
    std::function<bool()> probe;
  };
  std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
};

// The namespace of the call, checked.
//   kFailedPrecondition  "namespace is required: failed precondition"
//   kInvalidArgument     "namespace validation: identifier … : invalid argument"
absl::Status RequireNamespace(const Context& context);

}  // namespace ctrd::base
