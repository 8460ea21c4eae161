// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/server.h"
#include "runtime/ttrpc/server_connection.h"

namespace ctrd::runtime::ttrpc {

absl::Status ServerStream::Send(std::string_view message) const {
  const auto connection = connection_.lock();
  return connection == nullptr ? StreamClosedError() : connection->SendMessage(stream_, message);
}

void ServerStream::Finish(Response result) const {
  if (const auto connection = connection_.lock()) {
    connection->FinishStream(stream_, std::move(result));
  }
}

void ServerStream::Pause() const {
  const auto connection = connection_.lock();
  if (connection == nullptr) return;
  if (const auto receiver = connection->ReceiverOf(stream_)) receiver->Pause();
}

void ServerStream::Resume() const {
  const auto connection = connection_.lock();
  if (connection == nullptr) return;
  if (const auto receiver = connection->ReceiverOf(stream_)) receiver->Resume();
}

}  // namespace ctrd::runtime::ttrpc
