// SPDX-License-Identifier: Apache-2.0

// The writer of the local store. Internal to it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "images/content/content_store.h"

namespace ctrd::content {

// The directories of a store, open for as long as it lives.
struct StoreDirectories {
  base::UniqueFd root;
  base::UniqueFd blobs;
  base::UniqueFd ingests;
};

// Whether blobs/ has `digest`.
bool HasBlob(const StoreDirectories& directories, const Digest& digest);
// "<algorithm>/<hex>", below blobs/.
std::string BlobPath(const Digest& digest);

class LocalWriter : public Writer {
 public:
  // Opens the ingest for `options.ref`, whose lock the caller holds; `unlock` gives it back when
  // the writer is closed, also when Open fails.
  static absl::StatusOr<std::unique_ptr<Writer>> Open(const base::Context& context,
                                                      const StoreDirectories& directories,
                                                      const WriterOptions& options,
                                                      std::function<void()> unlock);
  ~LocalWriter() override;

  absl::Status Write(std::string_view data) override;
  absl::Status Truncate(int64_t size_bytes) override;
  IngestStatus status() const override { return status_; }
  Digest digest() const override { return hasher_.Current(); }
  absl::Status Commit(const base::Context& context, int64_t size_bytes, const Digest& expected,
                      const Labels& labels) override;

 private:
  LocalWriter(const StoreDirectories& directories, std::function<void()> unlock)
      : directories_(directories), unlock_(std::move(unlock)) {}
  absl::Status OpenIngest(const base::Context& context, const WriterOptions& options);
  absl::Status Resume(const base::Context& context, const IngestStatus& found);
  absl::Status OpenData(int flags);
  absl::StatusOr<Digest> DigestLike(const base::Context& context, const Digest& expected);
  absl::Status HashData(const base::Context& context, base::Hasher& hasher);
  absl::Status CommitOpen(const base::Context& context, int64_t size_bytes, const Digest& expected);
  absl::Status Publish(const Digest& digest);
  void Close();

  const StoreDirectories& directories_;
  std::function<void()> unlock_;
  std::string name_;  // Below ingest/.
  base::UniqueFd ingest_;
  base::UniqueFd data_;
  base::Hasher hasher_;
  IngestStatus status_;
  int64_t flushed_bytes_ = 0;  // Up to here the kernel was asked to write back.
};

}  // namespace ctrd::content
