// SPDX-License-Identifier: Apache-2.0
#include "runtime/waiter.h"

namespace ctrd::runtime {

class Waiter::Held final : public TaskRuntime::PendingWait {
 public:
  explicit Held(std::shared_ptr<Waiter> waiter) : waiter_(std::move(waiter)) {}
  ~Held() override {
    const std::scoped_lock lock(waiter_->mutex_);
    waiter_->done_ = nullptr;
  }

 private:
  const std::shared_ptr<Waiter> waiter_;
};

void Waiter::Finish(const absl::StatusOr<Exit>& result) {
  const std::scoped_lock lock(mutex_);
  if (const auto done = std::exchange(done_, nullptr)) done(result);
}

std::unique_ptr<TaskRuntime::PendingWait> Waiter::Hold(std::shared_ptr<Waiter> waiter) {
  return std::make_unique<Held>(std::move(waiter));
}

}  // namespace ctrd::runtime
