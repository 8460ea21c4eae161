// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/stream.h"

#include <utility>

namespace ctrd::runtime::ttrpc {

absl::Status StreamClosedError() { return absl::UnknownError("ttrpc: stream closed"); }
absl::Status StreamFullError() { return absl::ResourceExhaustedError("ttrpc: stream buffer full"); }
absl::Status UnsentError() { return absl::UnavailableError("ttrpc: peer does not read"); }

void StreamReceiver::Begin(StreamEvents events) {
  if (over_) return;
  events_ = std::move(events);
  begun_ = true;
  Deliver();
}

bool StreamReceiver::Message(std::string message) {
  if (over_) return true;
  // What is handed over at once takes no room.
  const bool waits = Holds() || !unread_.empty();
  if (waits && unread_bytes_ + message.size() + kMessageCost > kMostUnreadBytes) return false;
  unread_bytes_ += message.size() + kMessageCost;
  unread_.push_back(std::move(message));
  Deliver();
  return true;
}

void StreamReceiver::Closed() {
  closed_ = true;
  Deliver();
}

void StreamReceiver::Writable() {
  const auto self = shared_from_this();
  if (!over_ && events_.writable) events_.writable();
}

void StreamReceiver::End(Response result) {
  if (!result_) result_ = std::move(result);
  Deliver();
}

void StreamReceiver::Abort(absl::Status why) {
  if (begun_) return Finish(std::move(why));
  unread_.clear();
  result_ = std::move(why);
}

void StreamReceiver::Drop() {
  // One of the callbacks may be what drops us.
  if (!delivering_) events_ = {};
  unread_.clear();
  over_ = true;
}

void StreamReceiver::Resume() {
  paused_ = false;
  Deliver();
}

// One at a time, as a callback may pause, resume or end its stream.
void StreamReceiver::Deliver() {
  if (Holds()) return;
  const auto self = shared_from_this();
  delivering_ = true;
  while (!over_ && !paused_ && !unread_.empty()) {
    std::string message = std::move(unread_.front());
    unread_.pop_front();
    unread_bytes_ -= message.size() + kMessageCost;
    if (events_.message) events_.message(std::move(message));
  }
  if (!over_ && !paused_ && std::exchange(closed_, false) && events_.closed) events_.closed();
  delivering_ = false;
  if (over_) {
    events_ = {};
  } else if (result_ && !paused_ && unread_.empty()) {
    Finish(*std::exchange(result_, std::nullopt));
  }
}

void StreamReceiver::Finish(Response result) {
  if (over_) return;
  const auto self = shared_from_this();
  const auto ended = std::move(events_.ended);
  Drop();
  if (ended) ended(std::move(result));
}

}  // namespace ctrd::runtime::ttrpc
