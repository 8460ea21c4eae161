// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/lease_store.h"

#include "absl/time/clock.h"
#include "base/digest.h"
#include "base/status.h"
#include "daemon/metadata/records.h"

namespace ctrd::metadata {
namespace {

using base::Quote;
using images::Lease;
using images::LeaseResource;

std::string LeaseKey(std::string_view ns, std::string_view id) {
  return store::Key({table::kLeases, ns, id});
}

std::string ResourceKey(std::string_view ns, std::string_view lease,
                        const LeaseResource& resource) {
  return store::Key({table::kLeaseResources, ns, lease, resource.type, resource.id});
}

absl::Status CheckResource(const LeaseResource& resource) {
  const size_t slash = resource.type.find('/');
  const std::string kind = resource.type.substr(0, slash);
  if (kind == "content" || kind == "ingests" || kind == "images") {
    if (slash != std::string::npos) {
      return base::InvalidArgument("invalid resource type {}", resource.type);
    }
    if (kind != "content") return absl::OkStatus();
    if (const auto digest = base::Digest::Parse(resource.id); !digest.ok()) {
      return base::InvalidArgument("invalid content resource id {}: {}", resource.id,
                                   base::MessageOf(digest.status()));
    }
    return absl::OkStatus();
  }
  if (kind == "snapshots") {
    const bool one_part =
        slash != std::string::npos && resource.type.find('/', slash + 1) == std::string::npos;
    if (one_part) return absl::OkStatus();
    return base::InvalidArgument("invalid snapshot resource type {}", resource.type);
  }
  return base::Unimplemented("resource type {} not supported yet", resource.type);
}

absl::Status RequireLease(ReadTransaction& read, std::string_view ns, std::string_view id) {
  if (id.empty()) return base::NotFound("lease {}", Quote(id));
  ASSIGN_OR_RETURN(const bool exists, Exists(read, LeaseKey(ns, id)));
  return exists ? absl::OkStatus() : base::NotFound("lease {}", Quote(id));
}

}  // namespace

absl::StatusOr<Lease> LeaseStore::Create(const base::Context& context, const Lease& lease) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  Lease created = lease;
  if (created.id.empty()) created.id = base::GenerateName();
  created.created = absl::Now();
  std::erase_if(created.labels, [](const auto& label) { return label.second.empty(); });
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool exists, Exists(write, LeaseKey(ns, created.id)));
    if (exists) return base::AlreadyExists("lease {}", Quote(created.id));
    RETURN_IF_ERROR(EnsureNamespace(write, ns));
    return write.Put(LeaseKey(ns, created.id), Encode(created));
  }));
  return created;
}

absl::StatusOr<std::vector<Lease>> LeaseStore::List(const base::Context& context,
                                                    const base::Filter& filter) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string prefix = store::Key({table::kLeases, context.namespace_name()});
  std::vector<Lease> leases;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(prefix, [&](std::string_view key, std::string_view value) {
      Lease lease{.id = store::SplitKey(key)[2], .created = {}, .labels = {}};
      Decode(value, lease);
      if (filter.Matches(FieldsOf(lease))) leases.push_back(std::move(lease));
      return true;
    });
  }));
  return leases;
}

absl::Status LeaseStore::Delete(const base::Context& context, std::string_view id) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  return database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        RETURN_IF_ERROR(RequireLease(write, ns, id));
        RETURN_IF_ERROR(DeletePrefix(write, store::Key({table::kLeaseResources, ns, id})));
        return write.Delete(LeaseKey(ns, id));
      },
      Change::kDeletion);
}

absl::Status LeaseStore::AddResource(const base::Context& context, std::string_view lease,
                                     const LeaseResource& resource) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  return database_.Update([&](WriteTransaction& write) -> absl::Status {
    RETURN_IF_ERROR(RequireLease(write, ns, lease));
    RETURN_IF_ERROR(CheckResource(resource));
    return write.Put(ResourceKey(ns, lease, resource), "");
  });
}

absl::Status LeaseStore::DeleteResource(const base::Context& context, std::string_view lease,
                                        const LeaseResource& resource) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  return database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        RETURN_IF_ERROR(RequireLease(write, ns, lease));
        RETURN_IF_ERROR(CheckResource(resource));
        return write.Delete(ResourceKey(ns, lease, resource));
      },
      Change::kDeletion);
}

absl::StatusOr<std::vector<LeaseResource>> LeaseStore::ListResources(const base::Context& context,
                                                                     std::string_view lease) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  std::vector<LeaseResource> resources;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    RETURN_IF_ERROR(RequireLease(read, ns, lease));
    return read.Scan(store::Key({table::kLeaseResources, ns, lease}),
                     [&](std::string_view key, std::string_view) {
                       std::vector<std::string> parts = store::SplitKey(key);
                       resources.push_back({.id = parts[4], .type = parts[3]});
                       return true;
                     });
  }));
  return resources;
}

absl::Status CheckLease(ReadTransaction& read, const base::Context& context) {
  if (context.lease().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool exists,
                   Exists(read, LeaseKey(context.namespace_name(), context.lease())));
  return exists ? absl::OkStatus() : base::NotFound("lease does not exist");
}

absl::Status AddToLease(WriteTransaction& write, const base::Context& context,
                        std::string_view type, std::string_view id) {
  if (context.lease().empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckLease(write, context));
  return write.Put(ResourceKey(context.namespace_name(), context.lease(),
                               {.id = std::string(id), .type = std::string(type)}),
                   "");
}

absl::Status RemoveFromLease(WriteTransaction& write, const base::Context& context,
                             std::string_view type, std::string_view id) {
  if (context.lease().empty()) return absl::OkStatus();
  return write.Delete(ResourceKey(context.namespace_name(), context.lease(),
                                  {.id = std::string(id), .type = std::string(type)}));
}

}  // namespace ctrd::metadata
