// SPDX-License-Identifier: Apache-2.0
#include "images/registry/hosts.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/time.h"

#define TOML_EXCEPTIONS 0
#include "toml++/toml.h"

namespace ctrd::registry {
namespace {

std::string_view PortOf(std::string_view host) {
  const size_t colon = host.rfind(':');
  const size_t bracket = host.rfind(']');
  if (colon == std::string_view::npos) return {};
  if (bracket != std::string_view::npos && bracket > colon) return {};
  return host.substr(colon + 1);
}

bool IsLocalhost(std::string_view host) {
  std::string_view name = host;
  if (const std::string_view port = PortOf(host); !port.empty()) {
    name = host.substr(0, host.size() - port.size() - 1);
  }
  return name == "localhost" || name.starts_with("127.") || name == "[::1]" || name == "::1";
}

RegistryHost DefaultHost(const std::string& registry, const HostOptions& options) {
  RegistryHost host{.scheme = "https", .host = registry, .path = "/v2"};
  if (registry == "docker.io") {
    host.host = "registry-1.docker.io";
    return host;
  }
  if (!options.default_scheme.empty()) {
    host.scheme = options.default_scheme;
    return host;
  }
  if (!IsLocalhost(registry)) return host;
  const std::string_view port = PortOf(registry);
  if (port == "80") {
    host.scheme = "http";
    return host;
  }
  host.tls.skip_verify = true;
  host.http_fallback = !port.empty() && port != "443";
  return host;
}

absl::Status Malformed(std::string_view what) {
  return base::InvalidArgument("hosts.toml: {}", what);
}

std::string Absolute(const std::string& path, const std::string& directory) {
  return path.starts_with('/') ? path : directory + "/" + path;
}

// A string, or an array of strings.
absl::StatusOr<std::vector<std::string>> StringsOf(const toml::node& node, std::string_view key) {
  std::vector<std::string> out;
  if (const auto text = node.value_exact<std::string>()) {
    out.push_back(*text);
  } else if (const toml::array* array = node.as_array()) {
    for (const toml::node& element : *array) {
      const auto item = element.value_exact<std::string>();
      if (!item) return Malformed(fmt::format("invalid type in '{}'", key));
      out.push_back(*item);
    }
  } else {
    return Malformed(fmt::format("invalid type for '{}'", key));
  }
  return out;
}

absl::Status ReadClient(const toml::node& node, const std::string& directory, TlsOptions& tls) {
  const toml::array* array = node.as_array();
  const toml::node* first = array == nullptr ? &node : array->get(0);
  if (first == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto files, StringsOf(*first, "client"));
  if (files.empty() || files.size() > 2) return Malformed("invalid 'client'");
  tls.certificate_file = Absolute(files[0], directory);
  if (files.size() == 2 && !files[1].empty()) tls.key_file = Absolute(files[1], directory);
  return absl::OkStatus();
}

absl::StatusOr<Capabilities> ReadCapabilities(const toml::node& node) {
  ASSIGN_OR_RETURN(auto names, StringsOf(node, "capabilities"));
  Capabilities capabilities;
  for (std::string& name : names) {
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (name == "pull") {
      capabilities.pull = true;
    } else if (name == "resolve") {
      capabilities.resolve = true;
    } else if (name == "push") {
      capabilities.push = true;
    } else if (name == "referrers") {
      capabilities.referrers = true;
    } else {
      return Malformed(fmt::format("unknown capability {}", name));
    }
  }
  return names.empty() ? Capabilities::All() : capabilities;
}

std::string CleanPath(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || !out.ends_with('/')) out.push_back(c);
  }
  while (out.ends_with('/')) out.pop_back();
  return out;
}

absl::Status ReadServer(std::string server, bool override_path, RegistryHost& host) {
  if (!server.starts_with("http")) server = "https://" + server;
  const size_t scheme_end = server.find("://");
  if (scheme_end == std::string::npos) return Malformed("unable to parse server " + server);
  host.scheme = server.substr(0, scheme_end);
  if (host.scheme != "http" && host.scheme != "https") {
    return Malformed("unsupported scheme in " + server);
  }
  const std::string_view rest =
      std::string_view(server).substr(scheme_end + 3, server.find_first_of("?#") - scheme_end - 3);
  host.host = rest.substr(0, rest.find('/'));
  if (host.host.empty()) return Malformed("no host in " + server);
  host.path = CleanPath(rest.substr(host.host.size()));
  if (!override_path && !host.path.ends_with("/v2")) host.path += "/v2";
  return absl::OkStatus();
}

// The keys of one entry; `server` is the URL it is for, "" for the registry's own.
absl::StatusOr<RegistryHost> ReadEntry(const toml::table& table, const std::string& server,
                                       const std::string& directory) {
  RegistryHost host;
  const bool override_path = table["override_path"].value_or(false);
  if (!server.empty()) RETURN_IF_ERROR(ReadServer(server, override_path, host));
  if (const toml::node* node = table.get("capabilities")) {
    ASSIGN_OR_RETURN(host.capabilities, ReadCapabilities(*node));
  }
  if (const toml::node* node = table.get("ca")) {
    ASSIGN_OR_RETURN(const auto files, StringsOf(*node, "ca"));
    for (const std::string& file : files) host.tls.ca_files.push_back(Absolute(file, directory));
  }
  if (const toml::node* node = table.get("client")) {
    RETURN_IF_ERROR(ReadClient(*node, directory, host.tls));
  }
  host.tls.skip_verify = table["skip_verify"].value_or(false);
  if (const toml::table* headers = table["header"].as_table()) {
    for (const auto& [key, node] : *headers) {
      ASSIGN_OR_RETURN(const auto values, StringsOf(node, "header"));
      for (const std::string& value : values) {
        host.headers.emplace_back(std::string(key.str()), value);
      }
    }
  }
  if (const auto text = table["dial_timeout"].value<std::string>()) {
    const auto timeout = base::ParseDuration(*text);
    if (!timeout) return Malformed("invalid dial_timeout " + *text);
    host.dial_timeout = *timeout;
  }
  return host;
}

// The subdirectory of `root` for `registry`, "" if there is none.
std::string DirectoryFor(const std::string& root, const std::string& registry) {
  // The name becomes part of a path: it must be one component.
  if (registry.find('/') != std::string::npos || registry.starts_with('.')) return "";
  std::vector<std::string> names;
  if (const std::string_view port = PortOf(registry); !port.empty()) {
    names.push_back(
        fmt::format("{}_{}_", registry.substr(0, registry.size() - port.size() - 1), port));
  }
  names.push_back(registry);
  names.emplace_back("_default");
  for (const std::string& name : names) {
    if (base::Exists(root + "/" + name)) return root + "/" + name;
  }
  return "";
}

// Docker's layout: *.crt are authorities, *.cert with *.key the client's certificate.
absl::StatusOr<std::vector<RegistryHost>> CertificateHosts(const std::string& directory,
                                                           RegistryHost host) {
  ASSIGN_OR_RETURN(const auto names, base::ListDirectory(directory));
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    if (name.ends_with(".crt")) host.tls.ca_files.push_back(path);
    if (name.ends_with(".cert") && host.tls.certificate_file.empty()) {
      host.tls.certificate_file = path;
      const std::string key = path.substr(0, path.size() - 5) + ".key";
      if (base::Exists(key)) host.tls.key_file = key;
    }
  }
  if (!host.tls.ca_files.empty()) host.tls.skip_verify = false;
  return std::vector<RegistryHost>{std::move(host)};
}

}  // namespace

bool IsSameRegistry(std::string_view registry, std::string_view host) {
  return registry == host || (registry == "docker.io" && host == "registry-1.docker.io");
}

absl::StatusOr<std::vector<RegistryHost>> ParseHostsToml(std::string_view text,
                                                         const std::string& directory,
                                                         const std::string& registry,
                                                         const HostOptions& options) {
  const toml::parse_result result = toml::parse(text);
  if (!result) return Malformed(result.error().description());
  const toml::table& root = result.table();
  std::vector<std::pair<std::string, const toml::table*>> entries;
  if (const toml::table* hosts = root["host"].as_table()) {
    for (const auto& [key, node] : *hosts) {
      const toml::table* table = node.as_table();
      if (table == nullptr) return Malformed("invalid host entry " + std::string(key.str()));
      entries.emplace_back(std::string(key.str()), table);
    }
  }
  // A table that only its sub-table [host."x".header] mentions begins where that one does.
  std::stable_sort(entries.begin(), entries.end(), [](const auto& left, const auto& right) {
    return left.second->source().begin < right.second->source().begin;
  });
  std::vector<RegistryHost> out;
  for (const auto& [server, table] : entries) {
    ASSIGN_OR_RETURN(out.emplace_back(), ReadEntry(*table, server, directory));
  }
  const std::string server = root["server"].value_or(std::string());
  ASSIGN_OR_RETURN(RegistryHost last, ReadEntry(root, server, directory));
  if (server.empty()) {
    RegistryHost fallback = DefaultHost(registry, options);
    fallback.headers = std::move(last.headers);
    fallback.dial_timeout = last.dial_timeout;
    const bool skip_verify = fallback.tls.skip_verify || last.tls.skip_verify;
    fallback.tls = std::move(last.tls);
    fallback.tls.skip_verify = skip_verify;
    last = std::move(fallback);
  }
  out.push_back(std::move(last));
  return out;
}

absl::StatusOr<std::vector<RegistryHost>> HostsFor(const std::string& registry,
                                                   const HostOptions& options) {
  for (const std::string& root : options.directories) {
    const std::string directory = DirectoryFor(root, registry);
    if (directory.empty()) continue;
    const std::string file = directory + "/hosts.toml";
    const auto text = base::ReadFile(file, 1 << 20);
    if (text.ok() && !text->empty()) {
      auto hosts = ParseHostsToml(*text, directory, registry, options);
      if (hosts.ok()) return hosts;
      base::LogError("failed to decode hosts.toml", {{"path", file}, {"error", hosts.status()}});
    }
    return CertificateHosts(directory, DefaultHost(registry, options));
  }
  return std::vector<RegistryHost>{DefaultHost(registry, options)};
}

}  // namespace ctrd::registry
