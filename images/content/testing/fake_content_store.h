// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "images/content/content_store.h"

namespace ctrd::content {

// A content store in memory, with labels and without namespaces, for tests. It keeps the contract.
// Thread-safe; it must outlive its writers and readers.
class FakeContentStore : public ContentStore {
 public:
  absl::StatusOr<Info> Stat(const base::Context& context, const Digest& digest) override;
  absl::StatusOr<Info> Update(const base::Context& context, const Info& info,
                              const LabelsUpdate& update) override;
  absl::Status Walk(const base::Context& context, const base::Filter& filter,
                    const std::function<absl::Status(const Info&)>& visit) override;
  absl::Status Delete(const base::Context& context, const Digest& digest) override;
  absl::StatusOr<std::unique_ptr<Reader>> OpenReader(const base::Context& context,
                                                     const Digest& digest) override;
  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(const base::Context& context,
                                                     const WriterOptions& options) override;
  absl::StatusOr<IngestStatus> StatusOf(const base::Context& context,
                                        std::string_view ref) override;
  absl::StatusOr<std::vector<IngestStatus>> ListStatuses(const base::Context& context,
                                                         const base::Filter& filter) override;
  absl::Status Abort(const base::Context& context, std::string_view ref) override;

  // Every Write fails with `status` from now on; OK ends that.
  void FailWrites(absl::Status status);
  // Puts a blob there without an ingest; its digest.
  Digest Add(std::string data, Labels labels = {});

 private:
  friend class FakeWriter;
  struct Blob {
    Info info;
    std::shared_ptr<const std::string> data;
  };
  struct Ingest {
    IngestStatus status;
    std::string data;
    const void* writer = nullptr;  // Who has it open.
  };

  absl::Mutex mutex_;
  std::map<std::string, Blob> blobs_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<Ingest>, std::less<>> ingests_ ABSL_GUARDED_BY(mutex_);
  absl::Status write_failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctrd::content
