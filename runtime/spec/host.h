// SPDX-License-Identifier: Apache-2.0
// What a specification takes from the machine it is made on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ctrd::runtime {

std::string HostArchitecture();  // As images name it: "amd64", "arm64", ….
std::string HostName();

// The effective capabilities of this process, "CAP_CHOWN", in the kernel's order. Numbers that
// have no name here are left out.
absl::StatusOr<std::vector<std::string>> EffectiveCapabilities();

struct HostDevice {
  std::string path;
  char type = 'c';  // 'c' or 'b'
  int64_t major = 0;
  int64_t minor = 0;
  uint32_t mode = 0;  // Permission bits.
  uint32_t uid = 0;
  uint32_t gid = 0;
};

// The device at `path`, or those below it if it is a directory: links are not followed; terminals,
// shared memory, "console" and what belongs to other containers are left out.
//   kInvalidArgument  `path` is neither a device nor a directory
//   kUnknown          it is not there
absl::StatusOr<std::vector<HostDevice>> FindHostDevices(const std::string& path);

}  // namespace ctrd::runtime
