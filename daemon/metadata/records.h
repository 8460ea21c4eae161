// SPDX-License-Identifier: Apache-2.0

// Keys and values of the metadata store. The formats are described, with an example, in
// docs/formats/metadata.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/identifiers.h"
#include "base/store/store.h"
#include "images/image_store.h"
#include "images/lease.h"

namespace ctrd::metadata {

// The first part of every key.
namespace table {
inline constexpr std::string_view kNamespaces = "namespace";     // name
inline constexpr std::string_view kContainers = "container";     // namespace, id
inline constexpr std::string_view kImages = "image";             // namespace, name
inline constexpr std::string_view kLeases = "lease";             // namespace, id
inline constexpr std::string_view kLeaseResources = "resource";  // namespace, lease, type, id
inline constexpr std::string_view kSandboxes = "sandbox";        // namespace, id
inline constexpr std::string_view kBlobs = "blob";               // namespace, digest
inline constexpr std::string_view kIngests = "ingest";           // namespace, ref
inline constexpr std::string_view kSnapshots = "snapshot";       // namespace, snapshotter, key
inline constexpr std::string_view kSnapshotChildren =
    "child";  // namespace, snapshotter, parent, key
inline constexpr std::string_view kSnapshotters = "snapshotter";  // namespace, snapshotter
}  // namespace table

struct NamespaceRecord {
  base::Labels labels;
};

struct BlobRecord {
  int64_t size_bytes = 0;
  absl::Time created;
  absl::Time updated;
  base::Labels labels;
};

struct IngestRecord {
  std::string backend_ref;
  absl::Time expires = absl::InfiniteFuture();  // Infinite: as long as a lease lists it.
  std::string expected;                         // Adopted: the digest whose bytes it stands for.
};

struct SnapshotRecord {
  std::string backend_name;
  std::string parent;  // As the client calls it; "" for none.
  absl::Time created;
  absl::Time updated;
  base::Labels labels;
};

std::string Encode(const NamespaceRecord& record);
std::string Encode(const BlobRecord& record);
std::string Encode(const IngestRecord& record);
std::string Encode(const SnapshotRecord& record);
std::string Encode(const images::Image& image);  // All but the name, which is in the key.
std::string Encode(const images::Lease& lease);  // All but the id.

void Decode(std::string_view bytes, NamespaceRecord& record);
void Decode(std::string_view bytes, BlobRecord& record);
void Decode(std::string_view bytes, IngestRecord& record);
void Decode(std::string_view bytes, SnapshotRecord& record);
void Decode(std::string_view bytes, images::Image& image);
void Decode(std::string_view bytes, images::Lease& lease);

// The record at `key`, or nullopt.
template <typename Record>
absl::StatusOr<std::optional<Record>> Find(store::ReadTransaction& read, std::string_view key) {
  absl::StatusOr<std::optional<std::string_view>> value = read.Get(key);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return std::optional<Record>();
  Record record;
  Decode(**value, record);
  return std::optional<Record>(std::move(record));
}

absl::StatusOr<bool> Exists(store::ReadTransaction& read, std::string_view key);
// Whether any key starts with `prefix`.
absl::StatusOr<bool> AnyWithPrefix(store::ReadTransaction& read, std::string_view prefix);
absl::StatusOr<std::vector<std::string>> KeysWithPrefix(store::ReadTransaction& read,
                                                        std::string_view prefix);
absl::Status DeletePrefix(store::WriteTransaction& write, std::string_view prefix);

// Whoever stores something in a namespace makes it exist.
absl::Status EnsureNamespace(store::WriteTransaction& write, std::string_view name);

}  // namespace ctrd::metadata
