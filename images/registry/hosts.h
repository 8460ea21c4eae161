// SPDX-License-Identifier: Apache-2.0

// Which servers stand behind a registry's name: the defaults, and hosts.toml directories.
// Source document: docs/api/distribution.md (section 2).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "images/registry/http_client.h"

namespace ctrd::registry {

struct Capabilities {
  bool pull = false;
  bool resolve = false;
  bool push = false;
  bool referrers = false;
  static Capabilities All() { return {true, true, true, true}; }
  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

struct RegistryHost {
  std::string scheme;  // "http" or "https"
  std::string host;    // With the port.
  std::string path;    // Root of the API: "/v2".
  Capabilities capabilities = Capabilities::All();
  Headers headers;
  TlsOptions tls;
  absl::Duration dial_timeout = absl::Seconds(30);
  // Try https first, and http should the server not speak TLS.
  bool http_fallback = false;
};

struct HostOptions {
  std::vector<std::string>
      directories;             // Roots of hosts.toml trees; the first that has the host counts.
  std::string default_scheme;  // "http", "https" or "".
};

// The servers for `registry` ("docker.io", "localhost:5000"), in the order they are tried. May be
// none.
absl::StatusOr<std::vector<RegistryHost>> HostsFor(const std::string& registry,
                                                   const HostOptions& options);

// The same, from the text of a hosts.toml; relative paths in it start at `directory`.
absl::StatusOr<std::vector<RegistryHost>> ParseHostsToml(std::string_view text,
                                                         const std::string& directory,
                                                         const std::string& registry,
                                                         const HostOptions& options);

// Do both names mean the same registry (docker.io is registry-1.docker.io)?
bool IsSameRegistry(std::string_view registry, std::string_view host);

}  // namespace ctrd::registry
