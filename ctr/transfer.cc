// SPDX-License-Identifier: Apache-2.0
#include "ctr/transfer.h"

#include <google/protobuf/empty.pb.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/identifiers.h"
#include "services/transfer/v1/transfer.grpc.pb.h"
#include "types/transfer/registry.pb.h"
#include "types/transfer/streaming.pb.h"

namespace ctrd::ctr {
namespace {

namespace streaming = containerd::services::streaming::v1;
namespace transfer = containerd::services::transfer::v1;
namespace types = containerd::types::transfer;
using google::protobuf::Any;

constexpr int32_t kWindowBytes = 65536;
constexpr int64_t kDataBytes = 32768;

template <typename Message>
bool Unpack(const Any& any, Message* message) {
  return any.type_url() == Message::descriptor()->full_name() &&
         message->ParseFromString(any.value());
}

// Sends only what the other side has granted.
absl::Status SendAll(TransferStream& stream, int fd) {
  int64_t credit = 0;
  std::string buffer(kDataBytes, '\0');
  while (true) {
    while (credit <= 0) {
      Any any;
      if (!stream.Receive(&any)) return absl::OkStatus();  // Nobody wants the rest.
      if (types::WindowUpdate update; Unpack(any, &update)) credit += update.update();
    }
    const ssize_t count = ::read(fd, buffer.data(), std::min(credit, kDataBytes));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus("read", "archive");
    if (count == 0) {
      stream.SendEnd();
      return absl::OkStatus();
    }
    credit -= count;
    types::Data data;
    data.set_data(buffer.data(), static_cast<size_t>(count));
    if (!stream.Send(data)) return absl::OkStatus();
  }
}

absl::Status ReceiveAll(TransferStream& stream, int fd) {
  int64_t granted = 0;
  while (true) {
    if (granted < kWindowBytes) {
      types::WindowUpdate update;
      update.set_update(kWindowBytes);
      // A daemon that has sent all takes no more updates, but its last data may not be read yet.
      (void)stream.Send(update);
      granted += kWindowBytes;
    }
    Any any;
    if (!stream.Receive(&any)) return absl::OkStatus();
    types::Data data;
    if (!Unpack(any, &data)) continue;
    granted -= static_cast<int64_t>(data.data().size());
    RETURN_IF_ERROR(base::WriteAll(fd, data.data(), "archive"));
  }
}

absl::Status Answer(TransferStream& stream, const Credentials& credentials) {
  for (Any any; stream.Receive(&any);) {
    types::AuthRequest request;
    if (!Unpack(any, &request)) continue;
    types::AuthResponse response;
    if (credentials.user.empty()) {
      response.set_authtype(types::REFRESH);
      response.set_secret(credentials.refresh_token);
    } else {
      response.set_authtype(types::CREDENTIALS);
      response.set_username(credentials.user);
      response.set_secret(credentials.secret);
    }
    if (!stream.Send(response)) break;
  }
  return absl::OkStatus();
}

}  // namespace

Any PackBare(const google::protobuf::Message& message) {
  Any any;
  any.set_type_url(message.GetTypeName());
  any.set_value(message.SerializeAsString());
  return any;
}

TransferStream::TransferStream(const Client& client, std::string_view kind)
    : id_(std::string(kind) + "-" + base::GenerateName()),
      context_(client.NewContext()),
      stub_(client.channel()),
      stream_(stub_.Stream(context_.get())) {}

absl::StatusOr<std::unique_ptr<TransferStream>> TransferStream::Open(const Client& client,
                                                                     std::string_view kind,
                                                                     Body body) {
  auto stream = std::unique_ptr<TransferStream>(new TransferStream(client, kind));
  streaming::StreamInit init;
  init.set_id(stream->id_);
  Any greeting;  // Sent once the name is known to the daemon.
  if (!stream->Send(init) || !stream->Receive(&greeting)) {
    const absl::Status status = FromGrpc(stream->stream_->Finish());
    return status.ok() ? base::Unknown("stream {} ended at once", stream->id_) : status;
  }
  stream->thread_ = std::thread([raw = stream.get(), body = std::move(body)] {
    raw->result_ = body(*raw);
    if (!raw->result_.ok()) raw->context_->TryCancel();
    for (Any rest; raw->Receive(&rest);) {
    }
    (void)raw->stream_->Finish();  // Only the transfer's own result counts.
  });
  return stream;
}

TransferStream::~TransferStream() {
  context_->TryCancel();
  (void)Join();
}

bool TransferStream::Send(const google::protobuf::Message& message) {
  return stream_->Write(PackBare(message));
}

bool TransferStream::Receive(Any* message) { return stream_->Read(message); }

void TransferStream::SendEnd() { stream_->WritesDone(); }

absl::Status TransferStream::Join() {
  if (thread_.joinable()) thread_.join();
  return result_;
}

absl::StatusOr<std::unique_ptr<TransferStream>> SendFile(const Client& client, int fd) {
  return TransferStream::Open(client, "import",
                              [fd](TransferStream& stream) { return SendAll(stream, fd); });
}

absl::StatusOr<std::unique_ptr<TransferStream>> ReceiveFile(const Client& client, int fd) {
  return TransferStream::Open(client, "export",
                              [fd](TransferStream& stream) { return ReceiveAll(stream, fd); });
}

absl::StatusOr<std::unique_ptr<TransferStream>> AnswerAuth(const Client& client,
                                                           Credentials credentials) {
  return TransferStream::Open(client, "creds",
                              [credentials = std::move(credentials)](TransferStream& stream) {
                                return Answer(stream, credentials);
                              });
}

absl::Status Transfer(Client& client, const google::protobuf::Message& source,
                      const google::protobuf::Message& destination, ProgressHandler progress) {
  ASSIGN_OR_RETURN(ScopedLease lease, ScopedLease::Create(client));
  const auto show = [&](TransferStream& stream) {
    for (Any any; stream.Receive(&any);) {
      if (types::Progress event; Unpack(any, &event)) progress(event);
    }
    return absl::OkStatus();
  };
  std::unique_ptr<TransferStream> events;
  transfer::TransferRequest request;
  if (progress) {
    ASSIGN_OR_RETURN(events, TransferStream::Open(client, "progress", show));
    request.mutable_options()->set_progress_stream(events->id());
  }
  *request.mutable_source() = PackBare(source);
  *request.mutable_destination() = PackBare(destination);
  const absl::Status status = client.Call(&transfer::Transfer::Stub::Transfer, request).status();
  // The daemon ends the progress stream when the call returns: read what it has said until then.
  if (events != nullptr && status.ok()) (void)events->Join();
  return status;
}

}  // namespace ctrd::ctr
