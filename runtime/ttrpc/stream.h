// SPDX-License-Identifier: Apache-2.0

// Streams: calls with more than one message in a direction. This is what both sides have in common;
// Client::Open begins one, Server::AddStreams serves them.
//
//   kClientStreams  many messages there, one result back
//   kServerStreams  one message there, many back
//   kBothStream     many in both directions, in whatever order
//
// The protocol has no flow control: a peer may send as fast as the socket takes it. So that neither
// side has to keep what the other does not read,
//   - a message is handed over when it comes. A reader that falls behind pauses its stream; a
//     paused stream holds at most kMostUnreadBytes, and one more message ends that stream, and no
//     other, with kResourceExhausted "ttrpc: stream buffer full";
//   - Send refuses with kUnavailable while kMostUnsentBytes wait for the socket, and `writable` is
//     called when there is room again.
//
// Source document: docs/api/ttrpc.md.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "runtime/ttrpc/frame.h"

namespace ctrd::runtime::ttrpc {

enum class StreamKind { kClientStreams, kServerStreams, kBothStream };

inline constexpr size_t kMostUnreadBytes = 2 * kMaxMessageBytes;
inline constexpr size_t kMostUnsentBytes = 2 * kMaxMessageBytes;

// What a side is told of its stream, on the loop's thread, which it must not block. Any of them may
// be empty. They may use the stream.
struct StreamEvents {
  std::function<void(std::string message)> message;
  // At the server: the client sends no more messages.
  std::function<void()> closed;
  // Send was refused, and would not be now.
  std::function<void()> writable;
  // The last event, once, and the stream is over. At the client: the result, empty if messages were
  // the result, or why there is none. At the server: why the stream ended before Finish.
  std::function<void(Response result)> ended;
};

absl::Status StreamClosedError();  // kUnknown "ttrpc: stream closed"
absl::Status StreamFullError();
absl::Status UnsentError();  // kUnavailable

// Hands events over in their order, and holds them while the reader has paused. Private to
// runtime/ttrpc; of the loop's thread.
class StreamReceiver : public std::enable_shared_from_this<StreamReceiver> {
 public:
  // Holds what comes before Begin.
  void Begin(StreamEvents events);
  bool Message(std::string message);  // False: that is more than it holds. It was dropped.
  void Closed();
  void Writable();
  void End(Response result);     // After all that was received.
  void Abort(absl::Status why);  // At once; what was not read is dropped.
  void Drop();                   // Nothing is told any more.
  void Pause() { paused_ = true; }
  void Resume();

 private:
  // What the memory of a message costs beside its bytes: empty ones must not be free.
  static constexpr size_t kMessageCost = 64;

  bool Holds() const { return paused_ || !begun_ || delivering_; }
  void Deliver();
  void Finish(Response result);

  StreamEvents events_;
  std::deque<std::string> unread_;
  size_t unread_bytes_ = 0;
  bool begun_ = false, paused_ = false, delivering_ = false, over_ = false;
  bool closed_ = false;  // And still to be told.
  std::optional<Response> result_;
};

}  // namespace ctrd::runtime::ttrpc
