// SPDX-License-Identifier: Apache-2.0

// Streams: pipes of messages that a client opens under an id and another call then uses.
//
//   client opens --> Streams::Add(namespace, id) --> Find(namespace, id) by a transfer
//   the user calls Close, or the client leaves --> forgotten
//
// In memory only. Thread-safe. Source document: docs/api/transfer.md (streaming).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/context.h"
#include "google/protobuf/any.pb.h"

namespace ctrd::services {

using google::protobuf::Any;

// One stream. The transport (a reactor) is told through `Transport` what to do next; everything
// else may be called from any thread. A stream outlives its transport.
class Stream {
 public:
  // Called with the stream's lock held; must not call back and must not block.
  struct Transport {
    std::function<void()> read;             // Start reading one message.
    std::function<void(const Any&)> write;  // Start writing it; it stays valid until Written.
    std::function<void()> finish;           // End the call with OK.
  };

  // ---- For the user of the stream.

  // The next message; nullopt once the client has ended its side or left.
  absl::StatusOr<std::optional<Any>> Receive(const base::Context& context);
  // The next message if there is one already.
  std::optional<Any> TryReceive();
  // Hands the message over, waiting while the client does not read.
  //   kCancelled  the client has left
  absl::Status Send(const base::Context& context, Any message);
  // The same without waiting; a message for which there is no room is dropped.
  void Post(Any message);
  // Ends the call, after what was sent has gone out.
  void Close();

  // ---- For the transport.

  void Attach(Transport transport);  // Begins to read and write.
  void Detach();                     // The transport is no more.
  void Received(std::optional<Any> message);
  void Written(bool ok);
  void Left();  // The client is gone.

 private:
  void ReadMore();
  void WriteMore();
  void Fail();

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by `mutex_`.
  std::optional<Transport> transport_;
  std::deque<Any> inbox_;
  std::deque<Any> outbox_;  // The first one is being written if `writing_`.
  bool reading_ = false;
  bool writing_ = false;
  bool read_ended_ = false;
  bool left_ = false;
  bool closing_ = false;
  bool finished_ = false;
};

class Streams {
 public:
  //   kUnknown  "already exists"
  absl::Status Add(const std::string& namespace_name, const std::string& id,
                   std::shared_ptr<Stream> stream);
  //   kNotFound  "not found"
  absl::StatusOr<std::shared_ptr<Stream>> Find(const std::string& namespace_name,
                                               const std::string& id);
  void Remove(const std::string& namespace_name, const std::string& id);

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<Stream>> streams_;
};

// Messages on streams and in transfers carry the bare name of their type.
template <typename Message>
Any PackBare(const Message& message) {
  Any any;
  any.set_type_url(message.GetTypeName());
  message.SerializeToString(any.mutable_value());
  return any;
}
// False if `any` is of another type, or malformed.
template <typename Message>
bool UnpackBare(const Any& any, Message& message) {
  return any.type_url() == message.GetTypeName() && message.ParseFromString(any.value());
}

}  // namespace ctrd::services
