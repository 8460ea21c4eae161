// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/client_core.h"

namespace ctrd::runtime::ttrpc {

std::unique_ptr<ClientStream> Client::Open(Request request, StreamKind kind, absl::Time deadline,
                                           StreamEvents events) {
  auto receiver = std::make_shared<StreamReceiver>();
  receiver->Begin(std::move(events));  // Nobody else knows it so far.
  const uint32_t stream = core_->Send(
      std::move(request), deadline,
      {.receiver = receiver, .kind = kind, .send_closed = kind == StreamKind::kServerStreams});
  if (stream != 0 && deadline != absl::InfiniteFuture()) core_->Arm(stream, deadline);
  return std::make_unique<ClientStream>(core_, std::move(receiver), stream);
}

ClientStream::~ClientStream() {
  core_->OnLoop([core = core_, receiver = receiver_, stream = stream_] {
    receiver->Drop();
    (void)core->Abandon(stream);
  });
}

absl::Status ClientStream::Send(std::string_view message) {
  return core_->SendData(stream_, 0, message);
}

absl::Status ClientStream::CloseSend() {
  return core_->SendData(stream_, kRemoteClosed | kNoData, "");
}

void ClientStream::Pause() {
  core_->OnLoop([receiver = receiver_] { receiver->Pause(); });
}

void ClientStream::Resume() {
  core_->OnLoop([receiver = receiver_] { receiver->Resume(); });
}

}  // namespace ctrd::runtime::ttrpc
