// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/content_writer.h"

#include "absl/time/clock.h"
#include "base/status.h"
#include "daemon/metadata/labels.h"

namespace ctrd::metadata {
namespace {

using base::Digest;
using base::FailedPrecondition;
using base::Quote;

constexpr size_t kCopyBytes = 1 << 20;

}  // namespace

std::unique_ptr<ContentWriter> ContentWriter::Open(ContentRecords& store,
                                                   const base::Context& context,
                                                   const content::WriterOptions& options,
                                                   std::string backend_ref,
                                                   std::unique_ptr<content::Writer> inner) {
  std::unique_ptr<ContentWriter> writer(
      new ContentWriter(store, context, options, std::move(backend_ref)));
  writer->inner_ = std::move(inner);
  return writer;
}

std::unique_ptr<ContentWriter> ContentWriter::Adopt(ContentRecords& store,
                                                    const base::Context& context,
                                                    const content::WriterOptions& options,
                                                    std::string backend_ref, int64_t size_bytes) {
  std::unique_ptr<ContentWriter> writer(
      new ContentWriter(store, context, options, std::move(backend_ref)));
  writer->adopted_bytes_ = size_bytes;
  writer->opened_ = absl::Now();
  return writer;
}

absl::Status ContentWriter::StartOver() {
  const Claims::Claim claim = store_.claims_.Take(backend_ref_);
  ASSIGN_OR_RETURN(
      inner_,
      store_.backend_.OpenWriter(
          context_, {.ref = backend_ref_, .total_bytes = options_.total_bytes, .expected = {}}));
  return inner_->Truncate(0);
}

absl::Status ContentWriter::CopyAdopted() {
  ASSIGN_OR_RETURN(auto reader, store_.backend_.OpenReader(context_, options_.expected));
  RETURN_IF_ERROR(StartOver());
  std::string buffer(kCopyBytes, '\0');
  for (int64_t offset = 0; offset < adopted_bytes_;) {
    ASSIGN_OR_RETURN(const size_t count, reader->ReadAt(offset, buffer));
    if (count == 0) return base::DataLoss("content {} is cut short", options_.expected.text());
    RETURN_IF_ERROR(inner_->Write(std::string_view(buffer).substr(0, count)));
    offset += static_cast<int64_t>(count);
  }
  return absl::OkStatus();
}

absl::Status ContentWriter::Write(std::string_view data) {
  if (closed_) return FailedPrecondition("writer of {} is closed", Quote(options_.ref));
  if (adopted()) {
    if (data.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(CopyAdopted());
  }
  return inner_->Write(data);
}

absl::Status ContentWriter::Truncate(int64_t size_bytes) {
  if (closed_) return FailedPrecondition("writer of {} is closed", Quote(options_.ref));
  if (!adopted()) return inner_->Truncate(size_bytes);
  if (size_bytes != 0) return base::Unimplemented("truncate to {} bytes", size_bytes);
  return StartOver();
}

content::IngestStatus ContentWriter::status() const {
  content::IngestStatus status;
  if (inner_ != nullptr) {
    status = inner_->status();
  } else {
    status.offset_bytes = status.total_bytes = adopted_bytes_;
    status.started = status.updated = opened_;
  }
  status.ref = options_.ref;
  status.expected = options_.expected.text();
  return status;
}

Digest ContentWriter::digest() const {
  return inner_ != nullptr ? inner_->digest() : options_.expected;
}

absl::Status ContentWriter::Commit(const base::Context& context, int64_t size_bytes,
                                   const Digest& expected, const base::Labels& labels) {
  if (closed_) return FailedPrecondition("writer of {} is closed", Quote(options_.ref));
  // The namespace is the one the writer was opened in; the lease may be another by now.
  const base::Context own = context.WithNamespace(context_.namespace_name());
  absl::StatusOr<base::Labels> checked = CheckLabels(labels, "info.Labels");
  absl::Status status = checked.status();
  if (status.ok()) {
    status = adopted() ? CommitAdopted(own, size_bytes, expected, *checked)
                       : CommitWritten(own, size_bytes, expected, *checked);
  }
  closed_ = true;
  inner_.reset();
  return status;
}

absl::Status ContentWriter::CommitAdopted(const base::Context& context, int64_t size_bytes,
                                          const Digest& expected, const base::Labels& labels) {
  if (size_bytes != 0 && size_bytes != adopted_bytes_) {
    return FailedPrecondition("{} failed size validation: {} != {}", Quote(options_.ref),
                              adopted_bytes_, size_bytes);
  }
  if (!expected.empty() && expected != options_.expected) {
    return FailedPrecondition("{} unexpected digest", Quote(options_.ref));
  }
  const Claims::Claim claim = store_.claims_.Take(options_.expected.text());
  // The ingest kept the bytes from being collected, unless it was itself collected or aborted.
  RETURN_IF_ERROR(store_.backend_.Stat(context, options_.expected).status());
  return store_.RecordBlob(context, options_.ref, options_.expected, adopted_bytes_, labels);
}

absl::Status ContentWriter::CommitWritten(const base::Context& context, int64_t size_bytes,
                                          const Digest& expected, const base::Labels& labels) {
  const int64_t written = inner_->status().offset_bytes;
  if (size_bytes != 0 && size_bytes != written) {
    return FailedPrecondition("{} failed size validation: {} != {}", Quote(options_.ref), written,
                              size_bytes);
  }
  const Digest digest = expected.empty() ? inner_->digest() : expected;
  // From here until the record exists the blob must not be taken for an orphan.
  const Claims::Claim claim = store_.claims_.Take(digest.text());
  const absl::Status status = inner_->Commit(context, size_bytes, expected, {});
  // Somebody else's blob: this namespace has now shown that it has the bytes too.
  if (!status.ok() && !absl::IsAlreadyExists(status)) return status;
  return store_.RecordBlob(context, options_.ref, digest, written, labels);
}

}  // namespace ctrd::metadata
