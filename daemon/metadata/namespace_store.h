// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/context.h"
#include "base/identifiers.h"
#include "daemon/metadata/database.h"

namespace ctrd::metadata {

struct Namespace {
  std::string name;
  base::Labels labels;
};

// The namespaces themselves. The context's own namespace does not matter here. A namespace exists
// once it was created or something was stored in it.
//
// Thread-safe. Every change is durable on return; its event goes out afterwards, under the name of
// the namespace acted on. Source document: docs/api/namespaces.md.
class NamespaceStore {
 public:
  explicit NamespaceStore(Database& database) : database_(database) {}

  // Never fails for an unknown name: a namespace without labels is the answer.
  absl::StatusOr<Namespace> Get(const base::Context& context, std::string_view name);
  absl::StatusOr<std::vector<Namespace>> List(const base::Context& context);
  // Answers `wanted` as it stands.
  absl::StatusOr<Namespace> Create(const base::Context& context, const Namespace& wanted);
  // `mask` holds paths "labels.<key>"; empty replaces all labels. Makes what does not exist.
  //   kInvalidArgument  any other path: `cannot update "<path>" field`
  absl::StatusOr<Namespace> Update(const base::Context& context, const Namespace& wanted,
                                   const std::vector<std::string>& mask);
  //   kFailedPrecondition  images, blobs, containers or snapshots are left in it
  absl::Status Delete(const base::Context& context, std::string_view name);

 private:
  Database& database_;
};

}  // namespace ctrd::metadata
