// SPDX-License-Identifier: Apache-2.0

// Client makes ttrpc calls over one connection, any number at a time. Many clients share one event
// loop: a waiting call costs neither a thread nor a descriptor.
//
// Thread-safe. Callbacks run on the loop's thread and must not block; they may make further calls.
// The loop outlives the client. Source document: docs/api/ttrpc.md.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/ttrpc/frame.h"
#include "runtime/ttrpc/stream.h"

namespace ctrd::runtime::ttrpc {

class ClientStream;
struct ClientCore;

class Client {
 public:
  using Done = std::function<void(Response response)>;

  // Connects to "unix:///path" (or "/path", or an abstract name). Waits until `deadline` for a
  // listener whose queue is full; one that is not there is an error at once.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(base::EventLoop* loop,
                                                         const std::string& address,
                                                         absl::Time deadline);
  // Takes a connected stream socket.
  static std::unique_ptr<Client> Adopt(base::EventLoop* loop, base::UniqueFd connection);
  // Closes. Calls still running end with ClosedError, perhaps after the destructor.
  ~Client();

  // Sends `request`, whose timeout is set from `deadline`, and calls `done` exactly once: with the
  // answer, with kDeadlineExceeded "context deadline exceeded", or with ClosedError. An answer that
  // comes after the deadline is dropped.
  void Call(Request request, absl::Time deadline, Done done);
  // The same, waiting for it. Not on the loop's thread.
  Response CallAndWait(Request request, absl::Time deadline);

  // Begins a stream. The payload of `request` is its first message; with kServerStreams its only
  // one, else none if it is empty. `events` may come before Open returns, and end as those of Call
  // do: `ended` comes exactly once, also if the stream never came about, unless the ClientStream is
  // gone before.
  std::unique_ptr<ClientStream> Open(Request request, StreamKind kind, absl::Time deadline,
                                     StreamEvents events);

  // Calls `callback` once, after the connection is gone for whatever reason and all calls have
  // ended; soon, if it is gone already. One callback at a time.
  void OnClose(std::function<void()> callback);
  void Close();
  bool closed() const;

 private:
  explicit Client(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {}
  std::shared_ptr<ClientCore> core_;
};

// One stream, at the client. Thread-safe; may outlive its client.
class ClientStream {
 public:
  ClientStream(std::shared_ptr<ClientCore> core, std::shared_ptr<StreamReceiver> receiver,
               uint32_t stream)
      : core_(std::move(core)), receiver_(std::move(receiver)), stream_(stream) {}
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;
  // Gives the stream up. On the loop's thread no event follows; elsewhere some may until the loop
  // knows. The server is told only that no more messages come; what it still sends is dropped.
  ~ClientStream();

  //   kUnavailable        too much is unsent; `writable` will be called
  //   kResourceExhausted  longer than a message may be
  //   kUnknown            "ttrpc: stream closed"; also after CloseSend, and of kServerStreams
  absl::Status Send(std::string_view message);
  // Tells the server that no more messages come.
  absl::Status CloseSend();
  // Of the messages that are handed over. Those that are on their way to the reader still come.
  void Pause();
  void Resume();

 private:
  const std::shared_ptr<ClientCore> core_;
  const std::shared_ptr<StreamReceiver> receiver_;
  const uint32_t stream_;
};

// What a call ends with when the connection is lost: kUnknown "ttrpc: closed".
absl::Status ClosedError();
bool IsClosedError(const absl::Status& status);

// A request with the metadata every call of containerd carries.
Request MakeRequest(std::string_view service, std::string_view method, std::string payload,
                    std::string_view namespace_name);

}  // namespace ctrd::runtime::ttrpc
