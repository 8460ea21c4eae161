// SPDX-License-Identifier: Apache-2.0
#include "ctr/content_writer.h"

#include <algorithm>

#include "base/digest.h"
#include "base/identifiers.h"
#include "images/spec/platform.h"

namespace ctrd::ctr {
namespace {

namespace api = containerd::services::content::v1;

constexpr size_t kChunkBytes = 1 << 20;

}  // namespace

Ingest::Ingest(const Client& client, const std::string& ref)
    : context_(client.NewContext()),
      stub_(client.channel()),
      ref_(ref),
      stream_(stub_.Write(context_.get())) {}

absl::Status Ingest::Begin(int64_t total, const std::string& expected) {
  api::WriteContentRequest request;
  request.set_action(api::STAT);
  request.set_total(total);
  request.set_expected(expected);
  ASSIGN_OR_RETURN(const auto status, Send(std::move(request)));
  offset_ = status.offset();
  return absl::OkStatus();
}

absl::Status Ingest::Append(std::string_view data) {
  api::WriteContentRequest request;
  request.set_action(api::WRITE);
  request.set_offset(offset_);
  request.set_data(data.data(), data.size());
  ASSIGN_OR_RETURN(const auto written, Send(std::move(request)));
  offset_ = written.offset();
  return absl::OkStatus();
}

absl::Status Ingest::Commit(int64_t total, const std::string& expected,
                            const std::map<std::string, std::string>& labels) {
  api::WriteContentRequest request;
  request.set_action(api::COMMIT);
  request.set_total(total);
  request.set_offset(offset_);
  request.set_expected(expected);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  return Send(std::move(request)).status();
}

absl::StatusOr<api::WriteContentResponse> Ingest::Send(api::WriteContentRequest request) {
  request.set_ref(ref_);
  api::WriteContentResponse response;
  if (stream_->Write(request) && stream_->Read(&response)) return response;
  const absl::Status status = FromGrpc(stream_->Finish());
  return status.ok() ? base::Unknown("EOF") : status;
}

absl::StatusOr<images::Descriptor> WriteBlob(const Client& client, const std::string& ref,
                                             std::string_view media_type, std::string_view data,
                                             const std::map<std::string, std::string>& labels) {
  images::Descriptor descriptor;
  descriptor.media_type = media_type;
  descriptor.digest = base::Digest::Of(data).text();
  descriptor.size_bytes = static_cast<int64_t>(data.size());
  descriptor.platform = images::HostPlatform();
  Ingest ingest(client, ref);
  absl::Status status = ingest.Begin(descriptor.size_bytes, descriptor.digest);
  // An ingest of that name that somebody left half done goes on where it ended.
  for (auto at = static_cast<size_t>(ingest.offset()); status.ok() && at < data.size();
       at += kChunkBytes) {
    status = ingest.Append(data.substr(at, kChunkBytes));
  }
  if (status.ok()) status = ingest.Commit(descriptor.size_bytes, descriptor.digest, labels);
  if (!status.ok() && !absl::IsAlreadyExists(status)) {
    return base::Annotate(status, "write " + base::Quote(ref));
  }
  return descriptor;
}

}  // namespace ctrd::ctr
