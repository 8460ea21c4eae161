// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/claims.h"

namespace ctrd::metadata {

Claims::Claim Claims::Take(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  while (removing_.contains(name)) removed_.Wait(&mutex_);
  ++claimed_[std::string(name)];
  return Claim(this, std::string(name));
}

void Claims::Claim::Release() {
  if (owner_ == nullptr) return;
  absl::MutexLock lock(&owner_->mutex_);
  const auto held = owner_->claimed_.find(name_);
  if (--held->second == 0) owner_->claimed_.erase(held);
  owner_ = nullptr;
}

bool Claims::BeginRemoval(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  if (claimed_.contains(name)) return false;
  return removing_.emplace(name).second;
}

void Claims::EndRemoval(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  removing_.erase(removing_.find(name));
  removed_.SignalAll();
}

void Claims::MarkDirty() {
  absl::MutexLock lock(&mutex_);
  dirty_ = true;
}

bool Claims::TakeDirty() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(dirty_, false) || removals_ > 0;
}

Claims::Removal::Removal(Claims& owner) : owner_(owner) {
  absl::MutexLock lock(&owner_.mutex_);
  ++owner_.removals_;
}

// A change that failed costs one clean-up for nothing.
Claims::Removal::~Removal() {
  absl::MutexLock lock(&owner_.mutex_);
  --owner_.removals_;
  owner_.dirty_ = true;
}

}  // namespace ctrd::metadata
