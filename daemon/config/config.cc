// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/config.h"

#include <algorithm>
#include <string_view>

namespace ctrd::config {

bool Config::IsDisabled(const std::string& uri) const {
  return std::find(disabled_plugins.begin(), disabled_plugins.end(), uri) != disabled_plugins.end();
}

absl::Duration Config::Timeout(std::string_view name) const {
  const auto it = timeouts.find("io.containerd.timeout." + std::string(name));
  return it == timeouts.end() ? absl::Seconds(1) : it->second;
}

Config DefaultConfig(const Schemas& schemas) {
  Config config;
  config.imports = {"/etc/containerd/conf.d/*.toml"};
  config.timeouts = {
      {"io.containerd.timeout.bolt.open", absl::ZeroDuration()},
      {"io.containerd.timeout.metrics.shimstats", absl::Seconds(2)},
      {"io.containerd.timeout.shim.cleanup", absl::Seconds(5)},
      {"io.containerd.timeout.shim.load", absl::Seconds(5)},
      {"io.containerd.timeout.shim.shutdown", absl::Seconds(3)},
      {"io.containerd.timeout.task.state", absl::Seconds(2)},
  };
  const std::vector<std::string> decoder_args = {"--decryption-keys-path",
                                                 "/etc/containerd/ocicrypt/keys"};
  const std::vector<std::string> decoder_env = {
      "OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf"};
  config.stream_processors = {
      {"io.containerd.ocicrypt.decoder.v1.tar",
       {.accepts = {"application/vnd.oci.image.layer.v1.tar+encrypted"},
        .returns = "application/vnd.oci.image.layer.v1.tar",
        .path = "ctd-decoder",
        .args = decoder_args,
        .env = decoder_env}},
      {"io.containerd.ocicrypt.decoder.v1.tar.gzip",
       {.accepts = {"application/vnd.oci.image.layer.v1.tar+gzip+encrypted"},
        .returns = "application/vnd.oci.image.layer.v1.tar+gzip",
        .path = "ctd-decoder",
        .args = decoder_args,
        .env = decoder_env}},
  };
  for (const auto& [uri, schema] : schemas) {
    Table values;
    for (const Key& key : schema) values[key.name] = key.default_value;
    config.plugins[uri] = Section(std::move(values));
  }
  return config;
}

}  // namespace ctrd::config
