// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string_view>

#include "absl/status/statusor.h"

namespace ctrd::runtime::ttrpc {

struct UnixAddress {
  sockaddr_un address = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// "unix:///path", "/path", or, as very old shims print it, a name in the abstract space.
//   kInvalidArgument  empty or longer than a socket address can be
absl::StatusOr<UnixAddress> ParseUnixAddress(std::string_view text);

}  // namespace ctrd::runtime::ttrpc
