// SPDX-License-Identifier: Apache-2.0
// The default AppArmor profile: made as a text, and loaded by the system's parser.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ctrd::runtime {

struct AppArmorConditions {
  bool has_abi = false;       // /etc/apparmor.d/abi/3.0 is there.
  bool has_tunables = false;  // /etc/apparmor.d/tunables/global
  bool has_base = false;      // /etc/apparmor.d/abstractions/base
  std::string daemon_profile = "unconfined";

  static AppArmorConditions Host();
};

// The profile called `name`: everything inside the container, but no mounts and no writing to what
// is the host's below /proc and /sys.
//   kInvalidArgument  `name` has characters that profiles have not
absl::StatusOr<std::string> DefaultAppArmorProfile(std::string_view name,
                                                   const AppArmorConditions& conditions);

// Loads the default profile under `name` unless a profile of that name is loaded.
//   kUnknown  the kernel has no AppArmor, or the parser refuses
absl::Status EnsureDefaultAppArmorProfile(const std::string& name);

}  // namespace ctrd::runtime
