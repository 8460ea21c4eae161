// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ctrd::metrics {

// A TCP address to listen at, from the "host:port" of a configuration.
struct ListenAddress {
  sockaddr_storage address;
  socklen_t size;
  // As civetweb takes it: "127.0.0.1:80", "[::1]:80", "+80" for all interfaces.
  std::string ForCivetweb() const;
  int port() const;
  ListenAddress WithPort(int port) const;
};

// What `address` stands for, best first; never empty. Without a host it is every interface, IPv4
// and IPv6. Names of hosts and of services are looked up.
//   kInvalidArgument  it is malformed, or there is no such name
absl::StatusOr<std::vector<ListenAddress>> ResolveListenAddress(const std::string& address);

// Why nobody can listen at `at`, as the kernel says it now; OK if it is free. `address` is what it
// was configured as, for the message.
absl::Status TryToBind(const ListenAddress& at, const std::string& address);

// Connects to who listens at `at`, and leaves.
void Knock(const ListenAddress& at);

}  // namespace ctrd::metrics
