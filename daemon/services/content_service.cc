// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/content_service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "daemon/server/serve.h"
#include "daemon/services/content_write.h"
#include "daemon/services/convert.h"
#include "services/content/v1/content.grpc.pb.h"

namespace ctrd::services {
namespace api = containerd::services::content::v1;
using base::Context;
using server::Serve;

namespace {

using services::ToProto;

constexpr int kListBatch = 100;
constexpr size_t kReadChunkBytes = 1 << 20;

absl::StatusOr<base::Digest> ParseDigest(const std::string& text) {
  absl::StatusOr<base::Digest> digest = base::Digest::Parse(text);
  if (!digest.ok()) return base::InvalidArgument("{} failed validation", base::Quote(text));
  return digest;
}

void ToProto(const content::Info& info, api::Info* proto) {
  proto->set_digest(info.digest.text());
  proto->set_size(info.size_bytes);
  ToProto(info.created, proto->mutable_created_at());
  ToProto(info.updated, proto->mutable_updated_at());
  ToProto(info.labels, proto->mutable_labels());
}

void ToProto(const content::IngestStatus& status, api::Status* proto) {
  ToProto(status.started, proto->mutable_started_at());
  ToProto(status.updated, proto->mutable_updated_at());
  proto->set_ref(status.ref);
  proto->set_offset(status.offset_bytes);
  proto->set_total(status.total_bytes);
  proto->set_expected(status.expected);
}

// The stream was given up by its client; what is answered reaches nobody.
absl::Status StreamEnded() { return base::MakeError(absl::StatusCode::kCancelled, ""); }

class ContentService final : public api::Content::Service {
 public:
  explicit ContentService(content::ContentStore* store) : store_(store) {}

  grpc::Status Info(grpc::ServerContext* rpc, const api::InfoRequest* request,
                    api::InfoResponse* response) override;
  grpc::Status Update(grpc::ServerContext* rpc, const api::UpdateRequest* request,
                      api::UpdateResponse* response) override;
  grpc::Status List(grpc::ServerContext* rpc, const api::ListContentRequest* request,
                    grpc::ServerWriter<api::ListContentResponse>* writer) override;
  grpc::Status Delete(grpc::ServerContext* rpc, const api::DeleteContentRequest* request,
                      google::protobuf::Empty* response) override;
  grpc::Status Read(grpc::ServerContext* rpc, const api::ReadContentRequest* request,
                    grpc::ServerWriter<api::ReadContentResponse>* writer) override;
  grpc::Status Status(grpc::ServerContext* rpc, const api::StatusRequest* request,
                      api::StatusResponse* response) override;
  grpc::Status ListStatuses(grpc::ServerContext* rpc, const api::ListStatusesRequest* request,
                            api::ListStatusesResponse* response) override;
  // One stream is one writer, see ContentWriteSession.
  grpc::Status Write(grpc::ServerContext* rpc,
                     grpc::ServerReaderWriter<api::WriteContentResponse, api::WriteContentRequest>*
                         stream) override;
  grpc::Status Abort(grpc::ServerContext* rpc, const api::AbortRequest* request,
                     google::protobuf::Empty* response) override;

 private:
  content::ContentStore* const store_;
};

grpc::Status ContentService::Info(grpc::ServerContext* rpc, const api::InfoRequest* request,
                                  api::InfoResponse* response) {
  return Serve(rpc, "content.Info", [&](const Context& context) -> absl::Status {
    ASSIGN_OR_RETURN(const base::Digest digest, ParseDigest(request->digest()));
    ASSIGN_OR_RETURN(const content::Info info, store_->Stat(context, digest));
    ToProto(info, response->mutable_info());
    return absl::OkStatus();
  });
}

grpc::Status ContentService::Update(grpc::ServerContext* rpc, const api::UpdateRequest* request,
                                    api::UpdateResponse* response) {
  return Serve(rpc, "content.Update", [&](const Context& context) -> absl::Status {
    if (!request->has_info()) return Missing("info");
    content::Info info;
    ASSIGN_OR_RETURN(info.digest, ParseDigest(request->info().digest()));
    info.labels = FromProto(request->info().labels());
    ASSIGN_OR_RETURN(const auto update,
                     LabelsUpdateOf<content::LabelsUpdate>(
                         request->update_mask(),
                         fmt::format("content info {}", base::Quote(info.digest.text()))));
    ASSIGN_OR_RETURN(const content::Info updated, store_->Update(context, info, update));
    ToProto(updated, response->mutable_info());
    return absl::OkStatus();
  });
}

grpc::Status ContentService::List(grpc::ServerContext* rpc, const api::ListContentRequest* request,
                                  grpc::ServerWriter<api::ListContentResponse>* writer) {
  return Serve(rpc, "content.List", [&](const Context& context) -> absl::Status {
    ASSIGN_OR_RETURN(const base::Filter filter, ParseFilters(request->filters()));
    api::ListContentResponse batch;
    const auto send = [&]() -> absl::Status {
      if (!writer->Write(batch)) return StreamEnded();
      batch.Clear();
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(store_->Walk(context, filter, [&](const content::Info& info) -> absl::Status {
      ToProto(info, batch.add_info());
      return batch.info_size() < kListBatch ? absl::OkStatus() : send();
    }));
    return batch.info().empty() ? absl::OkStatus() : send();
  });
}

grpc::Status ContentService::Delete(grpc::ServerContext* rpc,
                                    const api::DeleteContentRequest* request,
                                    google::protobuf::Empty*) {
  return Serve(rpc, "content.Delete", [&](const Context& context) -> absl::Status {
    ASSIGN_OR_RETURN(const base::Digest digest, base::Digest::Parse(request->digest()));
    return store_->Delete(context, digest);
  });
}

grpc::Status ContentService::Read(grpc::ServerContext* rpc, const api::ReadContentRequest* request,
                                  grpc::ServerWriter<api::ReadContentResponse>* writer) {
  return Serve(rpc, "content.Read", [&](const Context& context) -> absl::Status {
    absl::StatusOr<base::Digest> digest = base::Digest::Parse(request->digest());
    if (!digest.ok()) return base::Annotate(digest.status(), request->digest());
    ASSIGN_OR_RETURN(const std::unique_ptr<content::Reader> reader,
                     store_->OpenReader(context, *digest));
    const int64_t size = reader->size_bytes();
    const int64_t begin = std::max<int64_t>(request->offset(), 0);
    if (begin > size) return base::OutOfRange("read past object length {} bytes", size);
    const int64_t wanted =
        request->size() > 0 ? std::min(request->size(), size - begin) : size - begin;
    // Offsets in the answers count from the start of this stream, not of the blob.
    api::ReadContentResponse chunk;
    for (int64_t sent = 0; sent < wanted;) {
      std::string& data = *chunk.mutable_data();
      data.resize(std::min<size_t>(kReadChunkBytes, static_cast<size_t>(wanted - sent)));
      ASSIGN_OR_RETURN(const size_t bytes, reader->ReadAt(begin + sent, data));
      if (bytes == 0) return base::DataLoss("content {} ends early", digest->text());
      data.resize(bytes);
      chunk.set_offset(sent);
      if (!writer->Write(chunk)) return StreamEnded();
      sent += static_cast<int64_t>(bytes);
    }
    return absl::OkStatus();
  });
}

grpc::Status ContentService::Status(grpc::ServerContext* rpc, const api::StatusRequest* request,
                                    api::StatusResponse* response) {
  return Serve(rpc, "content.Status", [&](const Context& context) -> absl::Status {
    absl::StatusOr<content::IngestStatus> status = store_->StatusOf(context, request->ref());
    if (!status.ok()) {
      return base::Annotate(status.status(), fmt::format("could not get status for ref {}",
                                                         base::Quote(request->ref())));
    }
    ToProto(*status, response->mutable_status());
    return absl::OkStatus();
  });
}

grpc::Status ContentService::ListStatuses(grpc::ServerContext* rpc,
                                          const api::ListStatusesRequest* request,
                                          api::ListStatusesResponse* response) {
  return Serve(rpc, "content.ListStatuses", [&](const Context& context) -> absl::Status {
    ASSIGN_OR_RETURN(const base::Filter filter, ParseFilters(request->filters()));
    ASSIGN_OR_RETURN(const std::vector<content::IngestStatus> statuses,
                     store_->ListStatuses(context, filter));
    for (const content::IngestStatus& status : statuses) ToProto(status, response->add_statuses());
    return absl::OkStatus();
  });
}

grpc::Status ContentService::Write(
    grpc::ServerContext* rpc,
    grpc::ServerReaderWriter<api::WriteContentResponse, api::WriteContentRequest>* stream) {
  return Serve(rpc, "content.Write", [&](const Context& context) -> absl::Status {
    ContentWrite session(context, store_);
    api::WriteContentRequest request;
    while (stream->Read(&request)) {
      api::WriteContentResponse response;
      RETURN_IF_ERROR(session.Handle(request, response));
      if (!stream->Write(response)) return StreamEnded();
      if (request.action() == api::COMMIT) return absl::OkStatus();
    }
    return absl::OkStatus();
  });
}

grpc::Status ContentService::Abort(grpc::ServerContext* rpc, const api::AbortRequest* request,
                                   google::protobuf::Empty*) {
  return Serve(rpc, "content.Abort",
               [&](const Context& context) { return store_->Abort(context, request->ref()); });
}

}  // namespace

std::unique_ptr<grpc::Service> MakeContentService(content::ContentStore* store) {
  return std::make_unique<ContentService>(store);
}

}  // namespace ctrd::services
