// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace ctrd::registry {

inline constexpr std::string_view kUserAgent = "containerd/2.3.4";

}  // namespace ctrd::registry
