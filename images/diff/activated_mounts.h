// SPDX-License-Identifier: Apache-2.0

// The mounts of a snapshot as the kernel takes them: those that only a mount manager can make are
// active for as long as this lives.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/context.h"
#include "base/mount_manager.h"

namespace ctrd::diff {

class ActivatedMounts {
 public:
  // `manager` may be null, and is asked only for lists of several mounts that need it.
  static absl::StatusOr<ActivatedMounts> Open(const base::Context& context,
                                              const base::Mounts& mounts,
                                              base::MountManager* manager);
  ActivatedMounts(ActivatedMounts&& other) noexcept
      : context_(std::move(other.context_)),
        manager_(std::exchange(other.manager_, nullptr)),
        name_(std::move(other.name_)),
        mounts_(std::move(other.mounts_)) {}
  ActivatedMounts& operator=(ActivatedMounts&&) = delete;
  ~ActivatedMounts() { (void)Close(); }  // Only where something failed already.

  // What is left to mount.
  const base::Mounts& mounts() const { return mounts_; }
  // Nothing of `mounts` may be mounted any more.
  absl::Status Close();

 private:
  ActivatedMounts() = default;
  base::Context context_;
  base::MountManager* manager_ = nullptr;  // Null: there is nothing to give back.
  std::string name_;
  base::Mounts mounts_;
};

}  // namespace ctrd::diff
