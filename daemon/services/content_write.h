// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/context.h"
#include "images/content/content_store.h"
#include "services/content/v1/content.pb.h"

namespace ctrd::services {

// One stream of Content.Write: one writer, fed message by message. Every request has one response;
// an error ends the stream and keeps the ingest. One thread at a time.
// Source document: docs/api/content.md, "Writing".
class ContentWrite {
 public:
  ContentWrite(const base::Context& context, content::ContentStore* store)
      : context_(context), store_(store) {}

  absl::Status Handle(const containerd::services::content::v1::WriteContentRequest& request,
                      containerd::services::content::v1::WriteContentResponse& response);

 private:
  absl::Status Open(const containerd::services::content::v1::WriteContentRequest& request);
  absl::Status CheckExisting(const std::string& expected);
  absl::Status Seek(int64_t offset);
  absl::Status Commit(const containerd::services::content::v1::WriteContentRequest& request,
                      containerd::services::content::v1::WriteContentResponse& response);

  const base::Context context_;
  content::ContentStore* const store_;
  std::unique_ptr<content::Writer> writer_;
  std::string ref_;
  std::string expected_;
  int64_t total_bytes_ = 0;
  // Times and total are told from the first STAT of the stream on.
  bool told_status_ = false;
  content::IngestStatus status_;
};

}  // namespace ctrd::services
