// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace ctrd::ctr {

// The release whose API this client speaks, and the sources it was made from.
inline constexpr std::string_view kVersion = CTRD_VERSION;
inline constexpr std::string_view kRevision = CTRD_REVISION;

}  // namespace ctrd::ctr
