// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/unix_address.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "absl/time/clock.h"
#include "base/status.h"

namespace ctrd::runtime::ttrpc {
namespace {

constexpr absl::Duration kConnectPause = absl::Milliseconds(5);

absl::StatusOr<UnixAddress> AddressOf(std::string_view name, bool is_path, std::string_view text) {
  UnixAddress address;
  address.address.sun_family = AF_UNIX;
  // A path needs a NUL after it, an abstract name one before it: one byte either way.
  if (name.empty() || name.size() + 1 > sizeof(address.address.sun_path) ||
      name.find('\0') != std::string_view::npos) {
    return base::InvalidArgument("bad socket address {:?}", text);
  }
  std::memcpy(address.address.sun_path + (is_path ? 0 : 1), name.data(), name.size());
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
  return address;
}

}  // namespace

absl::StatusOr<UnixAddress> ParseUnixAddress(std::string_view text) {
  constexpr std::string_view kScheme = "unix://";
  std::string_view path = text;
  if (path.starts_with(kScheme)) path.remove_prefix(kScheme.size());
  return AddressOf(path, path.starts_with('/') || text.starts_with(kScheme), text);
}

absl::StatusOr<UnixAddress> AbstractUnixAddress(std::string_view name) {
  return AddressOf(name, false, name);
}

absl::StatusOr<base::UniqueFd> ConnectUnix(const UnixAddress& peer, std::string_view name,
                                           absl::Time deadline) {
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return base::ErrnoStatus("socket", name);
  while (::connect(fd.get(), peer.get(), peer.size) != 0) {
    if (errno == EINTR) continue;
    // EAGAIN: its queue is full. There is no descriptor to wait on for that.
    if (errno != EAGAIN) return base::ErrnoStatus("connect", name);
    if (absl::Now() >= deadline) {
      return base::Annotate(base::MakeError(absl::StatusCode::kDeadlineExceeded, ""),
                            fmt::format("connect {}", name));
    }
    absl::SleepFor(kConnectPause);
  }
  return fd;
}

}  // namespace ctrd::runtime::ttrpc
