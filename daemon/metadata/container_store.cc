// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/container_store.h"

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/wire.h"
#include "daemon/metadata/container_record.h"
#include "daemon/metadata/extensions.h"
#include "daemon/metadata/labels.h"
#include "daemon/metadata/records.h"

namespace ctrd::metadata {
namespace {

using base::InvalidArgument;
using base::NotFound;
using base::Quote;

std::string KeyOf(std::string_view ns, std::string_view id) {
  return store::Key({table::kContainers, ns, id});
}

// The rules every stored container keeps, in the order clients see them broken. A spec may be
// missing at creation only.
absl::Status Validate(const Container& container, bool spec_required) {
  RETURN_IF_ERROR(base::Annotate(base::ValidateIdentifier(container.id), "container.ID"));
  if (container.extensions.contains("")) {
    return InvalidArgument("container.Extension keys must not be zero-length");
  }
  RETURN_IF_ERROR(base::ValidateLabels(container.labels, "containers.Labels"));
  if (container.runtime.name.empty()) return InvalidArgument("container.Runtime.Name must be set");
  if (spec_required && container.spec.empty()) return InvalidArgument("container.Spec must be set");
  if (!container.snapshot_key.empty() && container.snapshotter.empty()) {
    return InvalidArgument("container.Snapshotter must be set if container.SnapshotKey is set");
  }
  return absl::OkStatus();
}

absl::Status ApplyPath(Container& stored, const Container& wanted, const std::string& path) {
  if (path == "labels") {
    stored.labels = wanted.labels;
  } else if (path == "spec") {
    stored.spec = wanted.spec;
  } else if (path == "extensions") {
    stored.extensions = wanted.extensions;
  } else if (path == "image") {
    stored.image = wanted.image;
  } else if (path == "snapshotkey") {
    stored.snapshot_key = wanted.snapshot_key;
  } else if (const auto label = KeyOfPath(path, "labels")) {
    SetLabel(stored.labels, wanted.labels, *label);
  } else if (const auto extension = KeyOfPath(path, "extensions")) {
    const auto found = wanted.extensions.find(*extension);
    stored.extensions[*extension] = found == wanted.extensions.end() ? base::Any() : found->second;
  } else {
    return InvalidArgument("cannot update {} field on {}", Quote(path), Quote(stored.id));
  }
  return absl::OkStatus();
}

absl::Status ApplyMask(Container& stored, const Container& wanted,
                       const std::vector<std::string>& mask) {
  static const std::vector<std::string>& all =
      *new std::vector<std::string>{"labels", "spec", "extensions", "image", "snapshotkey"};
  if (mask.empty() && wanted.snapshotter != stored.snapshotter) {
    return InvalidArgument("container.Snapshotter field is immutable");
  }
  if (mask.empty() && wanted.runtime.name != stored.runtime.name) {
    return InvalidArgument("container.Runtime.Name field is immutable");
  }
  for (const std::string& path : mask.empty() ? all : mask) {
    RETURN_IF_ERROR(ApplyPath(stored, wanted, path));
  }
  return absl::OkStatus();
}

// Clients see which of two things is missing: the container, or all containers of the namespace.
absl::Status MissingFor(ReadTransaction& read, std::string_view verb, std::string_view ns,
                        std::string_view id, std::string_view shown_id) {
  ASSIGN_OR_RETURN(const bool any, AnyWithPrefix(read, store::Key({table::kContainers, ns})));
  if (any) return NotFound("container {}", shown_id);
  return NotFound("cannot {} container {} in namespace {}", verb, Quote(id), Quote(ns));
}

}  // namespace

absl::StatusOr<Container> ContainerStore::Get(const base::Context& context, std::string_view id) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  Container container;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(auto found, Find<Container>(read, KeyOf(ns, id)));
    if (!found) return NotFound("container {} in namespace {}", Quote(id), Quote(ns));
    container = *std::move(found);
    return absl::OkStatus();
  }));
  container.id = id;
  return container;
}

absl::StatusOr<std::vector<Container>> ContainerStore::List(const base::Context& context,
                                                            const base::Filter& filter) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  std::vector<Container> containers;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(store::Key({table::kContainers, context.namespace_name()}),
                     [&](std::string_view key, std::string_view value) {
                       Container container;
                       Decode(value, container);
                       container.id = store::SplitKey(key)[2];
                       if (filter.Matches(FieldsOf(container))) {
                         containers.push_back(std::move(container));
                       }
                       return true;
                     });
  }));
  return containers;
}

absl::StatusOr<Container> ContainerStore::Create(const base::Context& context,
                                                 const Container& container) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  Container created = container;
  RETURN_IF_ERROR(base::Annotate(Validate(created, false), "create container failed validation"));
  ASSIGN_OR_RETURN(created.labels, CheckLabels(container.labels, "containers.Labels"));
  created.created = created.updated = absl::Now();
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool exists, Exists(write, KeyOf(ns, created.id)));
    if (exists) return base::AlreadyExists("container {}", Quote(created.id));
    RETURN_IF_ERROR(EnsureNamespace(write, ns));
    return write.Put(KeyOf(ns, created.id), Encode(created));
  }));
  base::WireWriter runtime;
  runtime.Bytes(1, created.runtime.name).Any(2, created.runtime.options);
  RETURN_IF_ERROR(database_.Publish(ns, "/containers/create", "containerd.events.ContainerCreate",
                                    base::WireWriter()
                                        .Bytes(1, created.id)
                                        .Bytes(2, created.image)
                                        .Message(3, runtime.Take())
                                        .Take()));
  return created;
}

absl::StatusOr<Container> ContainerStore::Update(const base::Context& context,
                                                 const Container& container,
                                                 const std::vector<std::string>& mask) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  if (container.id.empty()) return InvalidArgument("Container.ID required");
  Container updated;
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(auto found, Find<Container>(write, KeyOf(ns, container.id)));
    if (!found) return MissingFor(write, "update", ns, container.id, Quote(container.id));
    updated = *std::move(found);
    updated.id = container.id;
    RETURN_IF_ERROR(ApplyMask(updated, container, mask));
    RETURN_IF_ERROR(base::Annotate(Validate(updated, true), "update failed validation"));
    ASSIGN_OR_RETURN(updated.labels, CheckLabels(updated.labels, "containers.Labels"));
    updated.updated = absl::Now();
    return write.Put(KeyOf(ns, container.id), Encode(updated));
  }));
  RETURN_IF_ERROR(database_.Publish(ns, "/containers/update", "containerd.events.ContainerUpdate",
                                    base::WireWriter()
                                        .Bytes(1, updated.id)
                                        .Bytes(2, updated.image)
                                        .StringMap(3, updated.labels)
                                        .Bytes(4, updated.snapshot_key)
                                        .Take()));
  return updated;
}

absl::Status ContainerStore::Delete(const base::Context& context, std::string_view id) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  RETURN_IF_ERROR(database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        ASSIGN_OR_RETURN(const bool exists, Exists(write, KeyOf(ns, id)));
        if (!exists) return MissingFor(write, "delete", ns, id, id);
        return write.Delete(KeyOf(ns, id));
      },
      Change::kDeletion));
  return database_.Publish(ns, "/containers/delete", "containerd.events.ContainerDelete",
                           base::WireWriter().Bytes(1, id).Take());
}

}  // namespace ctrd::metadata
