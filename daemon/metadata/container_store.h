// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/any.h"
#include "base/context.h"
#include "base/filter.h"
#include "base/identifiers.h"
#include "daemon/metadata/database.h"

namespace ctrd::metadata {

struct RuntimeInfo {
  std::string name;
  base::Any options;
};

// A container as clients describe it. Spec, options and extensions are carried byte for byte.
struct Container {
  std::string id;
  base::Labels labels;
  std::string image;
  RuntimeInfo runtime;
  base::Any spec;
  std::string snapshotter;
  std::string snapshot_key;
  std::map<std::string, base::Any> extensions;
  std::string sandbox;
  absl::Time created;
  absl::Time updated;
};
base::FieldLookup FieldsOf(const Container& container);  // id, image, runtime.name, labels.<key>

// The records of containers, per namespace. What runs is the business of the tasks.
//
// Thread-safe. Every change is durable on return; its event goes out afterwards.
// Source document: docs/api/containers.md.
class ContainerStore {
 public:
  explicit ContainerStore(Database& database) : database_(database) {}

  //   kNotFound  `container "<id>" in namespace "<ns>": not found`
  absl::StatusOr<Container> Get(const base::Context& context, std::string_view id);
  absl::StatusOr<std::vector<Container>> List(const base::Context& context,
                                              const base::Filter& filter);
  // Times are the server's; answers what was stored.
  absl::StatusOr<Container> Create(const base::Context& context, const Container& container);
  // `mask`: "labels[.<key>]", "spec", "extensions[.<key>]", "image", "snapshotkey"; empty replaces
  // all of these, and then snapshotter and runtime name must be the stored ones.
  absl::StatusOr<Container> Update(const base::Context& context, const Container& container,
                                   const std::vector<std::string>& mask);
  absl::Status Delete(const base::Context& context, std::string_view id);

 private:
  Database& database_;
};

}  // namespace ctrd::metadata
