// SPDX-License-Identifier: Apache-2.0

// What is kept of an activation, in the file "record" of its directory.
// The format is described in docs/formats/mount-activations.md.
#pragma once

#include <string>
#include <string_view>

#include "base/mount_manager.h"

namespace ctrd::mounts {

struct ActivationRecord {
  std::string namespace_name;
  std::string lease;
  bool complete = false;  // All that is `active` was mounted.
  base::Activation activation;
};

std::string Encode(const ActivationRecord& record);
// Whatever it can make out of `bytes`.
ActivationRecord DecodeActivation(std::string_view bytes);

}  // namespace ctrd::mounts
