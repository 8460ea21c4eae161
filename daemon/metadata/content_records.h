// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/metadata/claims.h"
#include "daemon/metadata/database.h"
#include "images/content/content_store.h"

namespace ctrd::metadata {

// The content store clients see: what a namespace has records of, over one `backend` that holds the
// bytes of all. Publishes /content/….
//
// A blob is visible in a namespace from its commit there on. Opening a writer whose expected blob
// the backend has already gives a finished ("adopted") writer, if `share_all` or the owner's label
// allows. Bytes go at the next garbage collection.
class ContentRecords final : public content::ContentStore {
 public:
  ContentRecords(Database& database, content::ContentStore& backend, Claims& claims, bool share_all)
      : database_(database), backend_(backend), claims_(claims), share_all_(share_all) {}

  absl::StatusOr<content::Info> Stat(const base::Context& context,
                                     const base::Digest& digest) override;
  absl::StatusOr<content::Info> Update(const base::Context& context, const content::Info& info,
                                       const content::LabelsUpdate& update) override;
  absl::Status Walk(const base::Context& context, const base::Filter& filter,
                    const std::function<absl::Status(const content::Info&)>& visit) override;
  absl::Status Delete(const base::Context& context, const base::Digest& digest) override;
  absl::StatusOr<std::unique_ptr<content::Reader>> OpenReader(const base::Context& context,
                                                              const base::Digest& digest) override;

  absl::StatusOr<std::unique_ptr<content::Writer>> OpenWriter(
      const base::Context& context, const content::WriterOptions& options) override;
  absl::StatusOr<content::IngestStatus> StatusOf(const base::Context& context,
                                                 std::string_view ref) override;
  absl::StatusOr<std::vector<content::IngestStatus>> ListStatuses(
      const base::Context& context, const base::Filter& filter) override;
  absl::Status Abort(const base::Context& context, std::string_view ref) override;

 private:
  friend class ContentWriter;

  // The size of the backend's blob, if the namespace may take it over.
  absl::StatusOr<std::optional<int64_t>> SizeToAdopt(const base::Context& context,
                                                     const content::WriterOptions& options);
  // Notes the ingest, durably. False: the namespace has the expected blob (and its lease now too).
  absl::StatusOr<bool> RecordIngest(const base::Context& context,
                                    const content::WriterOptions& options,
                                    const std::string& backend_ref, bool adopted);
  // Makes the record of a blob the backend has, and ends the ingest `ref`.
  absl::Status RecordBlob(const base::Context& context, std::string_view ref,
                          const base::Digest& digest, int64_t size_bytes,
                          const base::Labels& labels);

  Database& database_;
  content::ContentStore& backend_;
  Claims& claims_;
  const bool share_all_;
};

}  // namespace ctrd::metadata
