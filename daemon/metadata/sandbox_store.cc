// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/sandbox_store.h"

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/wire.h"
#include "daemon/metadata/extensions.h"
#include "daemon/metadata/labels.h"
#include "daemon/metadata/records.h"

namespace ctrd::metadata {
namespace {

using base::InvalidArgument;
using base::NotFound;
using base::Quote;

std::string KeyOf(std::string_view ns, std::string_view id) {
  return store::Key({table::kSandboxes, ns, id});
}

absl::Status Validate(const Sandbox& sandbox) {
  RETURN_IF_ERROR(base::Annotate(base::ValidateIdentifier(sandbox.id),
                                 "failed to validate sandbox: invalid sandbox ID"));
  return base::ValidateLabels(sandbox.labels, "failed to validate sandbox: sandbox.Labels");
}

absl::StatusOr<Sandbox> FindIn(ReadTransaction& read, std::string_view ns, std::string_view id) {
  ASSIGN_OR_RETURN(auto found, Find<Sandbox>(read, KeyOf(ns, id)));
  if (!found) {
    ASSIGN_OR_RETURN(const bool any, AnyWithPrefix(read, store::Key({table::kSandboxes, ns})));
    if (!any) return NotFound("no sandbox buckets");
    return NotFound("bucket {} not found", Quote(id));
  }
  found->id = id;
  return *std::move(found);
}

absl::Status ApplyPath(Sandbox& stored, const Sandbox& wanted, const std::string& path) {
  if (path == "labels") {
    stored.labels = wanted.labels;
  } else if (path == "extensions") {
    stored.extensions = wanted.extensions;
  } else if (path == "runtime") {
    stored.runtime = wanted.runtime;
  } else if (path == "spec") {
    stored.spec = wanted.spec;
  } else if (const auto label = KeyOfPath(path, "labels")) {
    SetLabel(stored.labels, wanted.labels, *label);
  } else if (const auto extension = KeyOfPath(path, "extensions")) {
    const auto found = wanted.extensions.find(*extension);
    stored.extensions[*extension] = found == wanted.extensions.end() ? base::Any() : found->second;
  } else {
    return InvalidArgument("cannot update {} field on sandbox {}", Quote(path), Quote(stored.id));
  }
  return absl::OkStatus();
}

absl::Status ApplyMask(Sandbox& stored, const Sandbox& wanted,
                       const std::vector<std::string>& mask) {
  static const std::vector<std::string>& all =
      *new std::vector<std::string>{"labels", "extensions", "runtime", "spec"};
  if (mask.empty() && wanted.runtime.name != stored.runtime.name) {
    return InvalidArgument("sandbox.Runtime.Name field is immutable");
  }
  for (const std::string& path : mask.empty() ? all : mask) {
    RETURN_IF_ERROR(ApplyPath(stored, wanted, path));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Encode(const Sandbox& sandbox) {
  base::WireWriter writer;
  writer.Message(1, EncodeRuntime(sandbox.runtime))
      .Any(2, sandbox.spec)
      .StringMap(3, sandbox.labels)
      .Time(4, sandbox.created)
      .Time(5, sandbox.updated);
  WriteExtensions(writer, 6, sandbox.extensions);
  return writer.Bytes(7, sandbox.sandboxer).Take();
}

void Decode(std::string_view bytes, Sandbox& sandbox) {
  base::WireReader reader(bytes);
  while (auto field = reader.Next()) {
    if (field->number == 1) sandbox.runtime = DecodeRuntime(field->bytes);
    if (field->number == 2) sandbox.spec = base::ReadWireAny(field->bytes);
    if (field->number == 3) base::ReadWireMapEntry(field->bytes, sandbox.labels);
    if (field->number == 4) sandbox.created = base::ReadWireTime(field->bytes);
    if (field->number == 5) sandbox.updated = base::ReadWireTime(field->bytes);
    if (field->number == 6) ReadExtension(field->bytes, sandbox.extensions);
    if (field->number == 7) sandbox.sandboxer = field->bytes;
  }
}

base::FieldLookup FieldsOf(const Sandbox& sandbox) {
  return [&sandbox](const base::FieldPath& path) -> std::optional<std::string> {
    if (path.size() == 1 && path[0] == "id") return sandbox.id;
    if (path.size() < 2 || path[0] != "labels") return std::nullopt;
    const auto label = sandbox.labels.find(base::JoinFieldPath(path, 1));
    if (label == sandbox.labels.end()) return std::nullopt;
    return label->second;
  };
}

absl::StatusOr<Sandbox> SandboxStore::Get(const base::Context& context, std::string_view id) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  Sandbox sandbox;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(sandbox, FindIn(read, context.namespace_name(), id));
    return absl::OkStatus();
  }));
  return sandbox;
}

absl::StatusOr<std::vector<Sandbox>> SandboxStore::List(const base::Context& context,
                                                        const base::Filter& filter) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  std::vector<Sandbox> sandboxes;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(store::Key({table::kSandboxes, context.namespace_name()}),
                     [&](std::string_view key, std::string_view value) {
                       Sandbox sandbox;
                       Decode(value, sandbox);
                       sandbox.id = store::SplitKey(key)[2];
                       if (filter.Matches(FieldsOf(sandbox))) {
                         sandboxes.push_back(std::move(sandbox));
                       }
                       return true;
                     });
  }));
  return sandboxes;
}

absl::StatusOr<Sandbox> SandboxStore::Create(const base::Context& context, const Sandbox& sandbox) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  RETURN_IF_ERROR(Validate(sandbox));
  Sandbox created = sandbox;
  ASSIGN_OR_RETURN(created.labels, CheckLabels(sandbox.labels, "sandbox.Labels"));
  created.created = created.updated = absl::Now();
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(const bool exists, Exists(write, KeyOf(ns, created.id)));
    if (exists) {
      return base::AlreadyExists("write error: sandbox bucket {} already exists",
                                 Quote(created.id));
    }
    RETURN_IF_ERROR(EnsureNamespace(write, ns));
    return write.Put(KeyOf(ns, created.id), Encode(created));
  }));
  return created;
}

absl::StatusOr<Sandbox> SandboxStore::Update(const base::Context& context, const Sandbox& sandbox,
                                             const std::vector<std::string>& mask) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  Sandbox updated;
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(updated, FindIn(write, ns, sandbox.id));
    RETURN_IF_ERROR(ApplyMask(updated, sandbox, mask));
    RETURN_IF_ERROR(Validate(updated));
    ASSIGN_OR_RETURN(updated.labels, CheckLabels(updated.labels, "sandbox.Labels"));
    updated.updated = absl::Now();
    return write.Put(KeyOf(ns, sandbox.id), Encode(updated));
  }));
  return updated;
}

absl::Status SandboxStore::Delete(const base::Context& context, std::string_view id) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string key = KeyOf(context.namespace_name(), id);
  return database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        ASSIGN_OR_RETURN(const bool exists, Exists(write, key));
        if (!exists) return NotFound("failed to delete sandbox {}", Quote(id));
        return write.Delete(key);
      },
      Change::kDeletion);
}

}  // namespace ctrd::metadata
