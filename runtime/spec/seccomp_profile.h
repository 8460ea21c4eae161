// SPDX-License-Identifier: Apache-2.0
// The default seccomp profile: what a container that asks for one may call.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ctrd::runtime {

struct SeccompConditions {
  std::string architecture;  // As images name it: "amd64", "arm64", ….
  int kernel_major = 0;
  int kernel_minor = 0;
  std::vector<std::string> bounding_capabilities;  // Of the process, at the end of all changes.

  // Of the machine we run on.
  static SeccompConditions Host(std::vector<std::string> bounding_capabilities);
};

// The profile as the JSON object that belongs at linux.seccomp. What it allows depends on the
// capabilities: compute it after they are final.
std::string DefaultSeccompProfile(const SeccompConditions& conditions);

}  // namespace ctrd::runtime
