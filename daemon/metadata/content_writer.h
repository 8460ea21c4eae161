// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "daemon/metadata/content_records.h"

namespace ctrd::metadata {

// The writer of ContentRecords: either over a writer of the backend, or adopted, which stands for a
// blob that is there already until somebody writes other bytes into it.
class ContentWriter final : public content::Writer {
 public:
  static std::unique_ptr<ContentWriter> Open(ContentRecords& store, const base::Context& context,
                                             const content::WriterOptions& options,
                                             std::string backend_ref,
                                             std::unique_ptr<content::Writer> inner);
  static std::unique_ptr<ContentWriter> Adopt(ContentRecords& store, const base::Context& context,
                                              const content::WriterOptions& options,
                                              std::string backend_ref, int64_t size_bytes);

  absl::Status Write(std::string_view data) override;
  absl::Status Truncate(int64_t size_bytes) override;
  content::IngestStatus status() const override;
  base::Digest digest() const override;
  absl::Status Commit(const base::Context& context, int64_t size_bytes,
                      const base::Digest& expected, const base::Labels& labels) override;

 private:
  ContentWriter(ContentRecords& store, const base::Context& context,
                const content::WriterOptions& options, std::string backend_ref)
      : store_(store), context_(context), options_(options), backend_ref_(std::move(backend_ref)) {}

  bool adopted() const { return inner_ == nullptr && !closed_; }
  // Makes an adopted writer an ordinary, empty one.
  absl::Status StartOver();
  absl::Status CopyAdopted();
  absl::Status CommitAdopted(const base::Context& context, int64_t size_bytes,
                             const base::Digest& expected, const base::Labels& labels);
  absl::Status CommitWritten(const base::Context& context, int64_t size_bytes,
                             const base::Digest& expected, const base::Labels& labels);

  ContentRecords& store_;
  const base::Context context_;
  const content::WriterOptions options_;
  const std::string backend_ref_;
  std::unique_ptr<content::Writer> inner_;
  int64_t adopted_bytes_ = 0;
  absl::Time opened_;
  bool closed_ = false;
};

}  // namespace ctrd::metadata
