// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/content_records.h"

#include <optional>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/wire.h"
#include "daemon/metadata/content_writer.h"
#include "daemon/metadata/labels.h"
#include "daemon/metadata/lease_store.h"
#include "daemon/metadata/records.h"

namespace ctrd::metadata {
namespace {

using base::Digest;
using base::NotFound;
using content::Info;
using content::IngestStatus;

constexpr std::string_view kShareableLabel = "containerd.io/namespace.shareable";
constexpr absl::Duration kIngestLifetime = absl::Hours(24);
// An expiry is not written again for less than this: it would cost a sync at every open.
constexpr absl::Duration kExpirySlack = absl::Minutes(5);

std::string BlobKey(std::string_view ns, const Digest& digest) {
  return store::Key({table::kBlobs, ns, digest.text()});
}

std::string IngestKey(std::string_view ns, std::string_view ref) {
  return store::Key({table::kIngests, ns, ref});
}

absl::Status NoSuchBlob(const Digest& digest) {
  return NotFound("content digest {}", digest.text());
}

Info ToInfo(const Digest& digest, BlobRecord record) {
  return {.digest = digest,
          .size_bytes = record.size_bytes,
          .created = record.created,
          .updated = record.updated,
          .labels = std::move(record.labels)};
}

absl::StatusOr<IngestRecord> RequireIngest(ReadTransaction& read, std::string_view ns,
                                           std::string_view ref) {
  if (ref.empty()) return NotFound("reference {}", ref);
  ASSIGN_OR_RETURN(auto record, Find<IngestRecord>(read, IngestKey(ns, ref)));
  if (!record) return NotFound("reference {}", ref);
  return *std::move(record);
}

// Whether a namespace that shares what it has holds the blob.
absl::StatusOr<bool> SomebodyShares(ReadTransaction& read, const Digest& digest) {
  std::vector<std::string> sharing;
  RETURN_IF_ERROR(read.Scan(store::Key({table::kNamespaces}),
                            [&](std::string_view key, std::string_view value) {
                              NamespaceRecord record;
                              Decode(value, record);
                              const auto label = record.labels.find(std::string(kShareableLabel));
                              if (label != record.labels.end() && label->second == "true") {
                                sharing.push_back(store::SplitKey(key)[1]);
                              }
                              return true;
                            }));
  for (const std::string& ns : sharing) {
    ASSIGN_OR_RETURN(const bool has, Exists(read, BlobKey(ns, digest)));
    if (has) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<Info> ContentRecords::Stat(const base::Context& context, const Digest& digest) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  Info info;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(auto record,
                     Find<BlobRecord>(read, BlobKey(context.namespace_name(), digest)));
    if (!record) return NoSuchBlob(digest);
    info = ToInfo(digest, *std::move(record));
    return absl::OkStatus();
  }));
  return info;
}

absl::StatusOr<Info> ContentRecords::Update(const base::Context& context, const Info& info,
                                            const content::LabelsUpdate& update) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string key = BlobKey(context.namespace_name(), info.digest);
  Info updated;
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(auto record, Find<BlobRecord>(write, key));
    if (!record) return NoSuchBlob(info.digest);
    if (update.replace_all) record->labels = info.labels;
    if (!update.replace_all) {
      for (const std::string& label : update.keys) SetLabel(record->labels, info.labels, label);
    }
    ASSIGN_OR_RETURN(record->labels, CheckLabels(record->labels, "info.Labels"));
    record->updated = absl::Now();
    RETURN_IF_ERROR(write.Put(key, Encode(*record)));
    updated = ToInfo(info.digest, *std::move(record));
    return absl::OkStatus();
  }));
  return updated;
}

absl::Status ContentRecords::Walk(const base::Context& context, const base::Filter& filter,
                                  const std::function<absl::Status(const Info&)>& visit) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  // Gathered first: what `visit` does may take its time, and the store would keep old pages for it.
  std::vector<Info> infos;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(store::Key({table::kBlobs, context.namespace_name()}),
                     [&](std::string_view key, std::string_view value) {
                       const auto digest = Digest::Parse(store::SplitKey(key)[2]);
                       if (!digest.ok()) return true;
                       BlobRecord record;
                       Decode(value, record);
                       Info info = ToInfo(*digest, std::move(record));
                       if (filter.Matches(FieldsOf(info))) infos.push_back(std::move(info));
                       return true;
                     });
  }));
  for (const Info& info : infos) RETURN_IF_ERROR(visit(info));
  return absl::OkStatus();
}

absl::Status ContentRecords::Delete(const base::Context& context, const Digest& digest) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  // Until after the commit and before the event: whoever hears of it may collect at once.
  std::optional<Claims::Removal> removal(std::in_place, claims_);
  RETURN_IF_ERROR(database_.Update(
      [&](WriteTransaction& write) -> absl::Status {
        ASSIGN_OR_RETURN(const bool exists, Exists(write, BlobKey(ns, digest)));
        if (!exists) return NoSuchBlob(digest);
        RETURN_IF_ERROR(RemoveFromLease(write, context, "content", digest.text()));
        return write.Delete(BlobKey(ns, digest));
      },
      Change::kDeletion));
  removal.reset();
  return database_.Publish(ns, "/content/delete", "containerd.events.ContentDelete",
                           base::WireWriter().Bytes(1, digest.text()).Take());
}

absl::StatusOr<std::unique_ptr<content::Reader>> ContentRecords::OpenReader(
    const base::Context& context, const Digest& digest) {
  RETURN_IF_ERROR(Stat(context, digest).status());
  return backend_.OpenReader(context, digest);
}

absl::StatusOr<std::optional<int64_t>> ContentRecords::SizeToAdopt(
    const base::Context& context, const content::WriterOptions& options) {
  if (options.expected.empty()) return std::nullopt;
  bool shared = share_all_;
  if (!shared) {
    RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
      ASSIGN_OR_RETURN(shared, SomebodyShares(read, options.expected));
      return absl::OkStatus();
    }));
  }
  if (!shared) return std::nullopt;
  const absl::StatusOr<Info> held = backend_.Stat(context, options.expected);
  if (absl::IsNotFound(held.status())) return std::nullopt;
  if (!held.ok()) return held.status();
  if (options.total_bytes != 0 && options.total_bytes != held->size_bytes) return std::nullopt;
  return held->size_bytes;
}

absl::StatusOr<bool> ContentRecords::RecordIngest(const base::Context& context,
                                                  const content::WriterOptions& options,
                                                  const std::string& backend_ref, bool adopted) {
  const std::string& ns = context.namespace_name();
  const absl::Time expires =
      context.lease().empty() ? absl::Now() + kIngestLifetime : absl::InfiniteFuture();
  bool wanted = true;
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    wanted = true;
    if (!options.expected.empty()) {
      ASSIGN_OR_RETURN(const bool exists, Exists(write, BlobKey(ns, options.expected)));
      if (exists) {
        wanted = false;
        return base::Annotate(AddToLease(write, context, "content", options.expected.text()),
                              "unable to lease content");
      }
    }
    RETURN_IF_ERROR(AddToLease(write, context, "ingests", options.ref));
    IngestRecord record{.backend_ref = backend_ref,
                        .expires = expires,
                        .expected = adopted ? options.expected.text() : ""};
    ASSIGN_OR_RETURN(const auto old, Find<IngestRecord>(write, IngestKey(ns, options.ref)));
    const bool same_expiry =
        old && (old->expires == expires ||
                (old->expires < expires && expires - old->expires < kExpirySlack));
    if (same_expiry && old->expected == record.expected) return absl::OkStatus();
    RETURN_IF_ERROR(EnsureNamespace(write, ns));
    return write.Put(IngestKey(ns, options.ref), Encode(record));
  }));
  return wanted;
}

absl::StatusOr<std::unique_ptr<content::Writer>> ContentRecords::OpenWriter(
    const base::Context& context, const content::WriterOptions& options) {
  if (options.ref.empty()) return base::InvalidArgument("ref must not be empty");
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string backend_ref = fmt::format("{}/1/{}", context.namespace_name(), options.ref);
  // Neither the expected blob nor the ingest may be cleaned up until the record names them.
  const Claims::Claim ingest_claim = claims_.Take(backend_ref);
  Claims::Claim blob_claim;
  if (!options.expected.empty()) blob_claim = claims_.Take(options.expected.text());
  ASSIGN_OR_RETURN(const std::optional<int64_t> adopted, SizeToAdopt(context, options));
  ASSIGN_OR_RETURN(const bool wanted,
                   RecordIngest(context, options, backend_ref, adopted.has_value()));
  if (!wanted) return base::AlreadyExists("content {}", options.expected.text());
  if (adopted) return ContentWriter::Adopt(*this, context, options, backend_ref, *adopted);
  // Without the digest: the backend may hold the blob although this namespace must not know.
  ASSIGN_OR_RETURN(auto inner, backend_.OpenWriter(context, {.ref = backend_ref,
                                                             .total_bytes = options.total_bytes,
                                                             .expected = {}}));
  return ContentWriter::Open(*this, context, options, backend_ref, std::move(inner));
}

absl::Status ContentRecords::RecordBlob(const base::Context& context, std::string_view ref,
                                        const Digest& digest, int64_t size_bytes,
                                        const base::Labels& labels) {
  const std::string& ns = context.namespace_name();
  bool exists = false;
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(exists, Exists(write, BlobKey(ns, digest)));
    RETURN_IF_ERROR(AddToLease(write, context, "content", digest.text()));
    RETURN_IF_ERROR(RemoveFromLease(write, context, "ingests", ref));
    RETURN_IF_ERROR(write.Delete(IngestKey(ns, ref)));
    if (exists) return absl::OkStatus();
    const absl::Time now = absl::Now();
    RETURN_IF_ERROR(EnsureNamespace(write, ns));
    return write.Put(
        BlobKey(ns, digest),
        Encode(BlobRecord{
            .size_bytes = size_bytes, .created = now, .updated = now, .labels = labels}));
  }));
  if (exists) return base::AlreadyExists("content {}", digest.text());
  return database_.Publish(ns, "/content/create", "containerd.events.ContentCreate",
                           base::WireWriter()
                               .Bytes(1, digest.text())
                               .Varint(2, static_cast<uint64_t>(size_bytes))
                               .Take());
}

absl::StatusOr<IngestStatus> ContentRecords::StatusOf(const base::Context& context,
                                                      std::string_view ref) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  IngestRecord record;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(record, RequireIngest(read, context.namespace_name(), ref));
    return absl::OkStatus();
  }));
  absl::StatusOr<IngestStatus> status = backend_.StatusOf(context, record.backend_ref);
  if (absl::IsNotFound(status.status())) return NotFound("reference {}", ref);
  if (status.ok()) status->ref = ref;
  return status;
}

absl::StatusOr<std::vector<IngestStatus>> ContentRecords::ListStatuses(const base::Context& context,
                                                                       const base::Filter& filter) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  std::vector<std::pair<std::string, IngestRecord>> records;
  RETURN_IF_ERROR(database_.View([&](ReadTransaction& read) {
    return read.Scan(store::Key({table::kIngests, context.namespace_name()}),
                     [&](std::string_view key, std::string_view value) {
                       Decode(value,
                              records.emplace_back(store::SplitKey(key)[2], IngestRecord()).second);
                       return true;
                     });
  }));
  std::vector<IngestStatus> statuses;
  for (const auto& [ref, record] : records) {
    absl::StatusOr<IngestStatus> status = backend_.StatusOf(context, record.backend_ref);
    if (absl::IsNotFound(status.status())) continue;  // Adopted, or just gone.
    if (!status.ok()) return status.status();
    status->ref = ref;
    if (filter.Matches(FieldsOf(*status))) statuses.push_back(*std::move(status));
  }
  return statuses;
}

absl::Status ContentRecords::Abort(const base::Context& context, std::string_view ref) {
  RETURN_IF_ERROR(base::RequireNamespace(context));
  const std::string& ns = context.namespace_name();
  IngestRecord record;
  RETURN_IF_ERROR(database_.Update([&](WriteTransaction& write) -> absl::Status {
    ASSIGN_OR_RETURN(record, RequireIngest(write, ns, ref));
    RETURN_IF_ERROR(RemoveFromLease(write, context, "ingests", ref));
    return write.Delete(IngestKey(ns, ref));
  }));
  const absl::Status status = backend_.Abort(context, record.backend_ref);
  if (!status.ok()) claims_.MarkDirty();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace ctrd::metadata
