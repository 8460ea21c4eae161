// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_address.h"

#include <poll.h>
#include <sys/socket.h>
// After sys/socket.h, which it needs.
#include <linux/vm_sockets.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "runtime/ttrpc/unix_address.h"

namespace ctrd::runtime {
namespace {

constexpr std::string_view kUnix = "unix://", kVsock = "vsock://", kHybrid = "hvsock://";
constexpr size_t kLineLimitBytes = 256;
// A machine that boots: its hypervisor hangs up until somebody listens inside.
constexpr absl::Duration kHangUpPause = absl::Milliseconds(20);

bool HasScheme(std::string_view address) {
  return address.starts_with(kUnix) || address.starts_with(kVsock) || address.starts_with(kHybrid);
}

absl::Status BadAddress(std::string_view address) {
  return base::InvalidArgument("bad shim address {:?}", address);
}

absl::StatusOr<uint32_t> Number(std::string_view text, std::string_view address) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return BadAddress(address);
  return number;
}

// Divides at the last colon.
absl::StatusOr<std::pair<std::string_view, uint32_t>> SplitPort(std::string_view text,
                                                                std::string_view address) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return BadAddress(address);
  ASSIGN_OR_RETURN(const uint32_t port, Number(text.substr(colon + 1), address));
  return std::pair(text.substr(0, colon), port);
}

// Until `events` or an error; kDeadlineExceeded else.
absl::Status AwaitReady(int fd, int16_t events, std::string_view address, absl::Time deadline) {
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    pollfd poll{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&poll, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 60'000)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return base::ErrnoStatus("poll", address);
    if (absl::Now() >= deadline) {
      return base::Annotate(base::MakeError(absl::StatusCode::kDeadlineExceeded, ""),
                            fmt::format("connect {}", address));
    }
  }
}

// What says that no such machine runs, or that nobody listens inside it.
absl::Status VsockError(int error_number, std::string_view address) {
  const absl::Status status = base::ErrnoStatus(error_number, "connect", address);
  const bool nobody = error_number == ECONNRESET || error_number == ENODEV ||
                      error_number == EHOSTUNREACH || error_number == ENETUNREACH;
  return nobody ? base::WithCode(status, absl::StatusCode::kUnavailable) : status;
}

absl::StatusOr<base::UniqueFd> DialVsock(const std::string& address, absl::Time deadline) {
  ASSIGN_OR_RETURN(const auto target,
                   SplitPort(std::string_view(address).substr(kVsock.size()), address));
  sockaddr_vm peer{};
  peer.svm_family = AF_VSOCK;
  ASSIGN_OR_RETURN(peer.svm_cid, Number(target.first, address));
  peer.svm_port = target.second;
  base::UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return base::ErrnoStatus("socket", address);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) == 0) return fd;
  // Interrupted, it goes on all the same.
  if (errno != EINPROGRESS && errno != EINTR) return VsockError(errno, address);
  RETURN_IF_ERROR(AwaitReady(fd.get(), POLLOUT, address, deadline));
  int error_number = 0;
  socklen_t size = sizeof(error_number);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error_number, &size) != 0) {
    return base::ErrnoStatus("getsockopt", address);
  }
  if (error_number != 0) return VsockError(error_number, address);
  return fd;
}

// A line, without what follows it: that is the shim's. "" if the other side hangs up.
absl::StatusOr<std::string> ReadLine(int fd, std::string_view address, absl::Time deadline) {
  std::string line;
  while (!line.ends_with('\n')) {
    char byte;
    const ssize_t count = ::recv(fd, &byte, 1, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno == ECONNRESET)) return std::string();
    if (count > 0) {
      line += byte;
      if (line.size() > kLineLimitBytes) return base::Unknown("{} answers no line", address);
    } else if (errno == EAGAIN) {
      RETURN_IF_ERROR(AwaitReady(fd, POLLIN, address, deadline));
    } else if (errno != EINTR) {
      return base::ErrnoStatus("recv", address);
    }
  }
  return line;
}

absl::StatusOr<base::UniqueFd> DialHybrid(const std::string& address, absl::Time deadline) {
  ASSIGN_OR_RETURN(const auto target,
                   SplitPort(std::string_view(address).substr(kHybrid.size()), address));
  const std::string hello = fmt::format("CONNECT {}\n", target.second);
  ASSIGN_OR_RETURN(const auto peer,
                   ttrpc::ParseUnixAddress(fmt::format("{}{}", kUnix, target.first)));
  while (true) {
    ASSIGN_OR_RETURN(base::UniqueFd fd, ttrpc::ConnectUnix(peer, address, deadline));
    std::string line;
    // A few bytes always fit into a fresh socket; one that is closed already says so by its end.
    if (::send(fd.get(), hello.data(), hello.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(hello.size())) {
      ASSIGN_OR_RETURN(line, ReadLine(fd.get(), address, deadline));
    }
    if (line.find("OK") != line.npos) return fd;
    if (!line.empty()) return base::Unknown("{} answers {:?}", address, line);
    if (absl::Now() + kHangUpPause >= deadline) {
      return base::Annotate(base::MakeError(absl::StatusCode::kDeadlineExceeded, ""),
                            fmt::format("connect {}: hangs up", address));
    }
    absl::SleepFor(kHangUpPause);
  }
}

absl::StatusOr<base::UniqueFd> DialUnix(const std::string& address, absl::Time deadline) {
  if (address.starts_with(kUnix)) {
    ASSIGN_OR_RETURN(const auto peer, ttrpc::ParseUnixAddress(address));
    return ttrpc::ConnectUnix(peer, address, deadline);
  }
  ASSIGN_OR_RETURN(const auto abstract, ttrpc::AbstractUnixAddress(address));
  auto connected = ttrpc::ConnectUnix(abstract, address, deadline);
  if (connected.ok() || !address.starts_with('/')) return connected;
  ASSIGN_OR_RETURN(const auto file, ttrpc::ParseUnixAddress(address));
  return ttrpc::ConnectUnix(file, address, deadline);
}

}  // namespace

absl::StatusOr<base::UniqueFd> DialShim(const std::string& address, absl::Time deadline) {
  if (address.starts_with(kVsock)) return DialVsock(address, deadline);
  if (address.starts_with(kHybrid)) return DialHybrid(address, deadline);
  return DialUnix(address, deadline);
}

std::string SocketFile(const std::string& address) {
  if (address.starts_with(kUnix)) return address.substr(kUnix.size());
  return address.starts_with('/') ? address : "";
}

std::vector<std::string> ListenerNames(const std::string& address) {
  if (address.empty()) return {};
  std::vector<std::string> names;
  if (const std::string file = SocketFile(address); !file.empty()) names.push_back(file);
  if (!HasScheme(address)) names.push_back("@" + address);
  return names;
}

}  // namespace ctrd::runtime
