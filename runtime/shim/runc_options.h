// SPDX-License-Identifier: Apache-2.0

// containerd.runc.v1.Options, as the shim uses and keeps them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/any.h"

namespace ctrd::runtime::shim {

struct RuncOptions {
  bool no_pivot_root = false;
  bool no_new_keyring = false;
  std::string shim_cgroup;
  uint32_t io_uid = 0, io_gid = 0;
  std::string binary_name;
  std::string root;
  bool systemd_cgroup = false;
  std::string criu_image_path, criu_work_path;
};

inline constexpr std::string_view kRuncOptionsType = "containerd.runc.v1.Options";
// What clients up to 1.6 send to a runtime whose name is not io.containerd.runc.…: to this shim by
// its path. The same fields under other numbers.
inline constexpr std::string_view kCreateOptionsType = "containerd.linux.runc.CreateOptions";

// Whether `any` is of one of the types above; a "host/" before the name does not matter.
bool IsRuncOptions(const base::Any& any);
// An empty Any gives the defaults.
//   kInvalidArgument  of another type, or garbled
absl::StatusOr<RuncOptions> DecodeRuncOptions(const base::Any& any);

// The bundle's options.json and runtime, for `delete`, which runs after the shim is gone.
absl::Status SaveRuncOptions(const std::string& bundle, const RuncOptions& options);
// What is missing there is as by default.
RuncOptions LoadRuncOptions(const std::string& bundle);

}  // namespace ctrd::runtime::shim
