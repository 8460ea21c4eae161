// SPDX-License-Identifier: Apache-2.0
// The facts behind the default seccomp profile, in the order of its rules.
#pragma once

#include <string_view>
#include <vector>

namespace ctrd::runtime {

struct ConditionalSyscalls {
  std::string_view condition;  // An architecture ("amd64") or a capability ("CAP_BPF").
  std::vector<std::string_view> names;
};

// Allowed whatever their arguments.
const std::vector<std::string_view>& AlwaysAllowedSyscalls();

// Allowed on one architecture, in addition.
const std::vector<ConditionalSyscalls>& SyscallsByArchitecture();

// Allowed to a process whose bounding set has the capability.
const std::vector<ConditionalSyscalls>& SyscallsByCapability();

}  // namespace ctrd::runtime
