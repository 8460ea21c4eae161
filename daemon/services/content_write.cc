// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/content_write.h"

#include "base/identifiers.h"
#include "base/status.h"
#include "daemon/services/convert.h"

namespace ctrd::services {
namespace api = containerd::services::content::v1;

namespace {

// A declared digest that is no digest is refused before anything is opened.
absl::StatusOr<base::Digest> ParseExpected(const std::string& text) {
  if (text.empty()) return base::Digest();
  absl::StatusOr<base::Digest> digest = base::Digest::Parse(text);
  if (!digest.ok()) return base::InvalidArgument("{} failed validation", base::Quote(text));
  return digest;
}

}  // namespace

absl::Status ContentWrite::Handle(const api::WriteContentRequest& request,
                                  api::WriteContentResponse& response) {
  if (writer_ == nullptr) RETURN_IF_ERROR(Open(request));
  if (request.total() > 0) total_bytes_ = request.total();
  if (!request.expected().empty()) {
    expected_ = request.expected();
    RETURN_IF_ERROR(CheckExisting(expected_));
  }
  response.set_action(request.action());
  switch (request.action()) {
    case api::STAT:
      status_ = writer_->status();
      told_status_ = true;
      break;
    case api::WRITE:
    case api::COMMIT:
      RETURN_IF_ERROR(Seek(request.offset()));
      if (!request.data().empty()) RETURN_IF_ERROR(writer_->Write(request.data()));
      if (request.action() == api::COMMIT) return Commit(request, response);
      break;
    default:
      return base::InvalidArgument("unknown write action {}", static_cast<int>(request.action()));
  }
  response.set_digest(writer_->digest().text());
  response.set_offset(writer_->status().offset_bytes);
  if (told_status_) {
    ToProto(status_.started, response.mutable_started_at());
    ToProto(status_.updated, response.mutable_updated_at());
    response.set_total(total_bytes_ > 0 ? total_bytes_ : status_.total_bytes);
  }
  return absl::OkStatus();
}

absl::Status ContentWrite::Open(const api::WriteContentRequest& request) {
  if (request.ref().empty()) return base::InvalidArgument("first message must have a reference");
  ref_ = request.ref();
  ASSIGN_OR_RETURN(const base::Digest expected, ParseExpected(request.expected()));
  ASSIGN_OR_RETURN(writer_, store_->OpenWriter(context_, {.ref = request.ref(),
                                                          .total_bytes = request.total(),
                                                          .expected = expected}));
  return absl::OkStatus();
}

absl::Status ContentWrite::CheckExisting(const std::string& expected) {
  ASSIGN_OR_RETURN(const base::Digest digest, ParseExpected(expected));
  if (!store_->Stat(context_, digest).ok()) return absl::OkStatus();
  writer_.reset();
  // The ingest has no use any more; that it could not be dropped does not change the answer.
  (void)store_->Abort(context_, ref_);
  return base::AlreadyExists("blob with expected digest {} exists", expected);
}

absl::Status ContentWrite::Seek(int64_t offset) {
  const int64_t current = writer_->status().offset_bytes;
  if (offset == current) return absl::OkStatus();
  if (offset > 0) {
    return base::OutOfRange("write @{} must occur at current offset {}", offset, current);
  }
  return base::Annotate(writer_->Truncate(0), "truncate failed");
}

absl::Status ContentWrite::Commit(const api::WriteContentRequest& request,
                                  api::WriteContentResponse& response) {
  ASSIGN_OR_RETURN(const base::Digest expected, ParseExpected(expected_));
  const int64_t offset = writer_->status().offset_bytes;
  const std::string digest = writer_->digest().text();
  RETURN_IF_ERROR(writer_->Commit(context_, total_bytes_, expected, FromProto(request.labels())));
  response.set_offset(offset);
  response.set_digest(expected.empty() ? digest : expected.text());
  if (told_status_) {
    ToProto(status_.started, response.mutable_started_at());
    ToProto(status_.updated, response.mutable_updated_at());
    response.set_total(total_bytes_);
  }
  return absl::OkStatus();
}

}  // namespace ctrd::services
