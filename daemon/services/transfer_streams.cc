// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/transfer_streams.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "daemon/services/convert.h"
#include "types/transfer/progress.pb.h"
#include "types/transfer/registry.pb.h"
#include "types/transfer/streaming.pb.h"

namespace ctrd::services {
namespace {

namespace proto = containerd::types::transfer;

constexpr int32_t kWindowBytes = 65536;
constexpr size_t kMaxDataBytes = 32768;

}  // namespace

absl::Status StreamSource::Read(const base::Context& context, std::string& chunk) {
  chunk.clear();
  while (true) {
    if (credit_ < kWindowBytes) {
      proto::WindowUpdate update;
      update.set_update(kWindowBytes);
      // A client that has ended its side needs no more credit.
      stream_->Post(PackBare(update));
      credit_ += kWindowBytes;
    }
    ASSIGN_OR_RETURN(const auto message, stream_->Receive(context));
    if (!message) return absl::OkStatus();
    proto::Data data;
    if (!UnpackBare(*message, data)) {
      base::LogError("unknown message on a byte stream, ignoring", {{"type", message->type_url()}});
      continue;
    }
    credit_ -= static_cast<int64_t>(data.data().size());
    if (data.data().empty()) continue;
    chunk = std::move(*data.mutable_data());
    return absl::OkStatus();
  }
}

void StreamSink::TakeCredit(const Any& message) {
  proto::WindowUpdate update;
  if (UnpackBare(message, update)) {
    credit_ += update.update();
  } else {
    base::LogError("unknown message on a byte stream, ignoring", {{"type", message.type_url()}});
  }
}

absl::Status StreamSink::AwaitCredit(const base::Context& context) {
  while (const auto message = stream_->TryReceive()) TakeCredit(*message);
  while (credit_ <= 0) {
    ASSIGN_OR_RETURN(const auto message, stream_->Receive(context));
    if (!message) return absl::CancelledError("context canceled");
    TakeCredit(*message);
  }
  return absl::OkStatus();
}

absl::Status StreamSink::Write(const base::Context& context, std::string_view data) {
  while (!data.empty()) {
    RETURN_IF_ERROR(AwaitCredit(context));
    const size_t count = std::min({data.size(), kMaxDataBytes, static_cast<size_t>(credit_)});
    proto::Data message;
    message.set_data(data.data(), count);
    RETURN_IF_ERROR(stream_->Send(context, PackBare(message)));
    credit_ -= static_cast<int64_t>(count);
    data.remove_prefix(count);
  }
  return absl::OkStatus();
}

transfer::ProgressSink ProgressTo(std::shared_ptr<Stream> stream) {
  return [stream = std::move(stream)](const transfer::Progress& progress) {
    proto::Progress message;
    message.set_event(progress.event);
    message.set_name(progress.name);
    for (const std::string& parent : progress.parents) message.add_parents(parent);
    message.set_progress(progress.progress);
    message.set_total(progress.total);
    if (progress.descriptor) ToProto(*progress.descriptor, message.mutable_desc());
    stream->Post(PackBare(message));
  };
}

registry::CredentialsCallback CredentialsFrom(std::shared_ptr<Stream> stream,
                                              std::string reference) {
  auto asking = std::make_shared<std::mutex>();
  return [stream = std::move(stream), reference = std::move(reference), asking](
             const base::Context& context,
             const std::string& host) -> absl::StatusOr<registry::Credentials> {
    const std::lock_guard lock(*asking);
    proto::AuthRequest request;
    request.set_host(host);
    request.set_reference(reference);
    RETURN_IF_ERROR(stream->Send(context, PackBare(request)));
    ASSIGN_OR_RETURN(const auto message, stream->Receive(context));
    proto::AuthResponse response;
    if (!message || !UnpackBare(*message, response)) {
      return base::Unknown("failed to get credentials: no answer from the client");
    }
    switch (response.authtype()) {
      case proto::CREDENTIALS:
        return registry::Credentials{response.username(), response.secret()};
      case proto::REFRESH:
        return registry::Credentials{"", response.secret()};
      default:
        return registry::Credentials{};
    }
  };
}

}  // namespace ctrd::services
