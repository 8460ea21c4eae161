// SPDX-License-Identifier: Apache-2.0
// Blobs into the daemon's content store.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ctr/client.h"
#include "images/descriptor.h"
#include "services/content/v1/content.grpc.pb.h"

namespace ctrd::ctr {

// One ingest: Begin, Append what is missing behind offset(), Commit. kAlreadyExists, from Begin or
// Commit: the blob is there.
class Ingest {
 public:
  Ingest(const Client& client, const std::string& ref);

  absl::Status Begin(int64_t total, const std::string& expected);
  int64_t offset() const { return offset_; }
  absl::Status Append(std::string_view data);
  absl::Status Commit(int64_t total, const std::string& expected,
                      const std::map<std::string, std::string>& labels = {});

 private:
  absl::StatusOr<containerd::services::content::v1::WriteContentResponse> Send(
      containerd::services::content::v1::WriteContentRequest request);

  std::unique_ptr<grpc::ClientContext> context_;
  containerd::services::content::v1::Content::Stub stub_;
  std::string ref_;
  std::unique_ptr<grpc::ClientReaderWriter<containerd::services::content::v1::WriteContentRequest,
                                           containerd::services::content::v1::WriteContentResponse>>
      stream_;
  int64_t offset_ = 0;
};

// Stores `data`, which may be there already; its descriptor, for this machine's platform.
absl::StatusOr<images::Descriptor> WriteBlob(const Client& client, const std::string& ref,
                                             std::string_view media_type, std::string_view data,
                                             const std::map<std::string, std::string>& labels = {});

}  // namespace ctrd::ctr
