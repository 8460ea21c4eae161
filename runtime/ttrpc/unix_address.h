// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ctrd::runtime::ttrpc {

struct UnixAddress {
  sockaddr_un address = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// "unix:///path", "/path", or, as very old shims print it, a name in the abstract space.
//   kInvalidArgument  empty or longer than a socket address can be
absl::StatusOr<UnixAddress> ParseUnixAddress(std::string_view text);
// `name` in the abstract space, whatever it looks like.
absl::StatusOr<UnixAddress> AbstractUnixAddress(std::string_view name);

// A stream socket, non-blocking, connected to `peer`; errors say `name`. Waits until `deadline` for
// a listener whose queue is full; one that is not there is an error at once.
//   kNotFound, kUnavailable  nobody listens there
absl::StatusOr<base::UniqueFd> ConnectUnix(const UnixAddress& peer, std::string_view name,
                                           absl::Time deadline);

}  // namespace ctrd::runtime::ttrpc
