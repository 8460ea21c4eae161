// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/metadata/container_store.h"

namespace ctrd::metadata {

struct Sandbox {
  std::string id;
  RuntimeInfo runtime;
  base::Any spec;
  base::Labels labels;
  std::map<std::string, base::Any> extensions;
  std::string sandboxer;
  absl::Time created;
  absl::Time updated;
};
base::FieldLookup FieldsOf(const Sandbox& sandbox);  // id, labels.<key>
std::string Encode(const Sandbox& sandbox);          // All but the id.
void Decode(std::string_view bytes, Sandbox& sandbox);

// The records of sandboxes, per namespace. Publishes no events: the sandbox controller does.
//
// Thread-safe. Every change is durable on return. Source document: docs/api/containers.md.
class SandboxStore {
 public:
  explicit SandboxStore(Database& database) : database_(database) {}

  //   kNotFound  `bucket "<id>" not found: not found`, or `no sandbox buckets: not found`
  absl::StatusOr<Sandbox> Get(const base::Context& context, std::string_view id);
  absl::StatusOr<std::vector<Sandbox>> List(const base::Context& context,
                                            const base::Filter& filter);
  absl::StatusOr<Sandbox> Create(const base::Context& context, const Sandbox& sandbox);
  // `mask`: "labels[.<key>]", "extensions[.<key>]", "runtime", "spec"; empty replaces all four, and
  // then the runtime's name must be the stored one. The sandboxer never changes.
  absl::StatusOr<Sandbox> Update(const base::Context& context, const Sandbox& sandbox,
                                 const std::vector<std::string>& mask);
  absl::Status Delete(const base::Context& context, std::string_view id);

 private:
  Database& database_;
};

}  // namespace ctrd::metadata
