// SPDX-License-Identifier: Apache-2.0
#include "metrics/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

#include "base/status.h"
#include "base/unique_fd.h"
#include "fmt/format.h"

namespace ctrd::metrics {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

}  // namespace

std::string ListenAddress::ForCivetweb() const {
  char host[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr)) return fmt::format("+{}", ntohs(six.sin6_port));
    ::inet_ntop(AF_INET6, &six.sin6_addr, host, sizeof(host));
    return fmt::format("[{}]:{}", host, ntohs(six.sin6_port));
  }
  const auto& four = reinterpret_cast<const sockaddr_in&>(address);
  ::inet_ntop(AF_INET, &four.sin_addr, host, sizeof(host));
  return fmt::format("{}:{}", host, ntohs(four.sin_port));
}

// Both families have it at the same place.
int ListenAddress::port() const {
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

ListenAddress ListenAddress::WithPort(int port) const {
  ListenAddress changed = *this;
  reinterpret_cast<sockaddr_in&>(changed.address).sin_port = htons(static_cast<uint16_t>(port));
  return changed;
}

absl::StatusOr<std::vector<ListenAddress>> ResolveListenAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(
        base::ToAbsl(fmt::format("listen tcp: address {}: missing port in address", address)));
  }
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_family = host.empty() ? AF_INET6 : AF_UNSPEC;  // All interfaces: IPv4 comes with it.
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                  address.c_str() + colon + 1, &hints, &list);
  if (error != 0) {
    return absl::InvalidArgumentError(
        base::ToAbsl(fmt::format("listen tcp: address {}: {}", address, ::gai_strerror(error))));
  }
  const std::unique_ptr<addrinfo, FreeAddresses> owned(list);
  std::vector<ListenAddress> found;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    ListenAddress& one = found.emplace_back(ListenAddress{{}, at->ai_addrlen});
    std::memcpy(&one.address, at->ai_addr, at->ai_addrlen);
  }
  return found;
}

absl::Status TryToBind(const ListenAddress& at, const std::string& address) {
  const base::UniqueFd fd(::socket(at.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return base::ErrnoStatus("socket for", address);
  const int yes = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.address), at.size) != 0) {
    return base::ErrnoStatus("bind", address);
  }
  if (::listen(fd.get(), 1) != 0) return base::ErrnoStatus("listen", address);
  return absl::OkStatus();
}

void Knock(const ListenAddress& at) {
  const base::UniqueFd fd(
      ::socket(at.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Nobody may be there any more.
  (void)::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at.address), at.size);
}

}  // namespace ctrd::metrics
