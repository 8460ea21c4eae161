// SPDX-License-Identifier: Apache-2.0

// Server answers ttrpc requests on the connections of its listeners. All of it lives on one event
// loop: handlers are called on the loop's thread, must not block, and answer through a Responder,
// now or later, from any thread. A slow call does not hold up the others of its connection.
//
// Only peers with our effective user and group are served. Bad frames are answered or ignored as
// the protocol says, and end at most the connection they came on.
//
// Not thread-safe, except for Responder. The loop outlives the server and all responders.
// Source document: docs/api/ttrpc.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/ttrpc/frame.h"
#include "runtime/ttrpc/stream.h"

namespace ctrd::runtime::ttrpc {

class ServerConnection;
struct PendingCall;

// The right to answer one call. Copies share it; the first answer counts. If all copies go without
// an answer, the caller gets an error.
class Responder {
 public:
  explicit Responder(std::shared_ptr<PendingCall> call) : call_(std::move(call)) {}
  void Reply(Response response) const;

 private:
  std::shared_ptr<PendingCall> call_;
};

struct Call {
  std::string method;
  std::string payload;
  Metadata metadata;
};

using Handler = std::function<void(const Call& call, Responder responder)>;
using Service = std::map<std::string, Handler, std::less<>>;  // By the name of the method.

// One stream, at the server. Copies are the same stream; the last one may go without ending it. Of
// the loop's thread. Once the stream is over all of it does nothing.
class ServerStream {
 public:
  ServerStream(std::weak_ptr<ServerConnection> connection, uint32_t stream)
      : connection_(std::move(connection)), stream_(stream) {}

  //   kUnavailable        too much is unsent; `writable` will be called
  //   kResourceExhausted  longer than a message may be
  //   kUnknown            "ttrpc: stream closed"; also of a method that answers with one message
  absl::Status Send(std::string_view message) const;
  // Ends the stream: with an error, or with the one message of a method that has one; where
  // messages are the result with "", or a last one that is not empty. No event follows.
  void Finish(Response result) const;
  // Of the messages that are handed over.
  void Pause() const;
  void Resume() const;

 private:
  std::weak_ptr<ServerConnection> connection_;
  uint32_t stream_;
};

// The payload of `call` is its first message, as the client sent it: it comes by `message`.
struct StreamMethod {
  StreamKind kind;
  std::function<StreamEvents(const Call& call, ServerStream stream)> open;
};
using Streams = std::map<std::string, StreamMethod, std::less<>>;  // By the name of the method.

class Server {
 public:
  explicit Server(base::EventLoop* loop) : loop_(loop) {}
  ~Server();  // Closes listeners and connections.
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void AddService(const std::string& name, Service service);
  // The streaming methods of a service, which may have others beside them.
  void AddStreams(const std::string& name, Streams streams);
  // Serves whoever connects to `listener`, a listening stream socket.
  absl::Status Listen(base::UniqueFd listener);
  // Serves one connection that was made already. A peer that is not ours is closed at once.
  void Adopt(base::UniqueFd connection);

  // Stops listening, closes each connection once it has no call running and nothing unsent, and
  // calls `done` when there is none left. `done` must not destroy the server.
  void Drain(std::function<void()> done);

 private:
  friend class ServerConnection;
  void Accept(int listener);
  void Closed(ServerConnection* connection);
  void CloseIdle();

  base::EventLoop* const loop_;
  std::map<std::string, Service, std::less<>> services_;
  std::map<std::string, Streams, std::less<>> streams_;
  std::vector<base::UniqueFd> listeners_;
  std::map<ServerConnection*, std::shared_ptr<ServerConnection>> connections_;
  bool draining_ = false;
  std::function<void()> drained_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // False once we are gone.
};

// Binds and listens on the socket file `path`, which must not exist, with mode 0600.
absl::StatusOr<base::UniqueFd> ListenUnix(const std::string& path);

}  // namespace ctrd::runtime::ttrpc
