// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/unix_address.h"

#include <cstddef>
#include <cstring>

#include "base/status.h"

namespace ctrd::runtime::ttrpc {

absl::StatusOr<UnixAddress> ParseUnixAddress(std::string_view text) {
  constexpr std::string_view kScheme = "unix://";
  std::string_view path = text;
  if (path.starts_with(kScheme)) path.remove_prefix(kScheme.size());
  UnixAddress address;
  address.address.sun_family = AF_UNIX;
  // A path needs a NUL after it, an abstract name one before it: one byte either way.
  if (path.empty() || path.size() + 1 > sizeof(address.address.sun_path) ||
      path.find('\0') != std::string_view::npos) {
    return base::InvalidArgument("bad socket address {:?}", text);
  }
  const bool is_path = path.front() == '/' || text.starts_with(kScheme);
  std::memcpy(address.address.sun_path + (is_path ? 0 : 1), path.data(), path.size());
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

}  // namespace ctrd::runtime::ttrpc
