// SPDX-License-Identifier: Apache-2.0

// Option words of a mount, sorted by who acts on them. Internal to base/mount.
#pragma once

#include <sys/mount.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mount.h"

namespace ctrd::base {

struct MountOptions {
  unsigned long flags = 0;        // MS_… for mount(2), without propagation.
  unsigned long propagation = 0;  // MS_SHARED, MS_SLAVE, … perhaps with MS_REC; 0: leave it.
  std::vector<std::string> data;  // For the file system, in order.
  bool loop = false;
  bool direct_io = false;
  std::string uid_map;  // "<container>:<host>:<size>[,…]"; both or none.
  std::string gid_map;

  bool has_maps() const { return !uid_map.empty(); }
  std::string JoinedData() const;
};
absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

// What mount_setattr(2) has to set and clear so that a mount gets exactly `flags`' attributes.
struct mount_attr AttributesOf(unsigned long flags);

// "c:h:s,c:h:s" as the lines of /proc/<pid>/uid_map. kInvalidArgument.
absl::StatusOr<std::string> IdMapLines(std::string_view map);

// `value` at each `separator` that no backslash stands before; the backslashes stay.
std::vector<std::string> SplitUnescaped(std::string_view value, char separator);
std::string Unescape(std::string_view value);

}  // namespace ctrd::base
