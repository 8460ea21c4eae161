// SPDX-License-Identifier: Apache-2.0

// What some mounts need before they can be made. Internal to base/mount.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/mount_options.h"
#include "base/unique_fd.h"

namespace ctrd::base {

// A loop device with a file behind it. It goes away by itself with its last user: hold it until the
// mount is made.
struct LoopDevice {
  UniqueFd fd;
  std::string path;
};
absl::StatusOr<LoopDevice> AttachLoopDevice(const std::string& file, bool read_only,
                                            bool direct_io);

// A user namespace in which container ids mean the host's as `options` map them.
absl::StatusOr<UniqueFd> OpenUserNamespace(const MountOptions& options);

// The detached mount `tree`, seen through the ids of `user_namespace`.
absl::Status MapIds(int tree, int user_namespace);

// An overlay as a detached mount, made option by option: the page that mount(2) takes is no limit.
//   kUnimplemented  this kernel does not take lower directories one by one
absl::StatusOr<UniqueFd> OpenOverlay(const MountOptions& options, const std::string& source);

// The same with every lower directory mapped to the ids of `options`.
absl::StatusOr<UniqueFd> OpenOverlayWithMappedLowers(const MountOptions& options,
                                                     const std::string& source);

// Any other file system as a detached mount that shows the ids of `options`.
absl::StatusOr<UniqueFd> OpenWithMappedIds(const std::string& type, const std::string& source,
                                           const MountOptions& options);

// mount(2) of an overlay from a thread that works in the common directory of all lower
// directories, which are named relative to it: for kernels before 6.7. errno is set on failure.
bool MountOverlayRelative(const MountOptions& options, const std::string& source,
                          const std::string& target);

}  // namespace ctrd::base
