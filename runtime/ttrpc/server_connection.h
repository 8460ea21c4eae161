// SPDX-License-Identifier: Apache-2.0

// One connection of a Server: reads requests, hands them out, writes answers. Private to
// runtime/ttrpc.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/ttrpc/frame.h"
#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::ttrpc {

class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(Server* server, base::EventLoop* loop, base::UniqueFd fd)
      : server_(server), loop_(loop), fd_(std::move(fd)) {}
  ~ServerConnection() { loop_->Remove(fd_.get()); }

  absl::Status Start();
  void Close();  // Calls that are running get no answer.
  // Answers the call on `stream`, if it is still waiting.
  void Answer(uint32_t stream, Response response);
  // What ServerStream promises.
  absl::Status SendMessage(uint32_t stream, std::string_view message);
  void FinishStream(uint32_t stream, Response result);
  std::shared_ptr<StreamReceiver> ReceiverOf(uint32_t stream) const;  // Null: it is over.
  bool idle() const { return calls_.empty() && unsent_.empty(); }

 private:
  // A call that runs.
  struct Running {
    std::optional<base::EventLoop::TimerId> timer;
    // Of a stream, else null.
    std::shared_ptr<StreamReceiver> receiver;
    StreamKind kind = StreamKind::kClientStreams;
    bool peer_closed = false;  // It sends no more messages.
    bool wants_to_send = false;
  };

  void OnReady(uint32_t events);
  bool Take(Frame frame);
  void TakeRequest(uint32_t stream, std::string_view data);
  void TakeData(Frame frame);
  void Dispatch(uint32_t stream, const Request& request);
  void DispatchStream(uint32_t stream, const Request& request, const StreamMethod& method);
  Running& Begin(uint32_t stream, const Request& request);  // Until its time is over.
  std::optional<Running> Forget(uint32_t stream);
  // Ends a call from our side, which is told of it, too.
  void Break(uint32_t stream, absl::Status status);
  void TellWritable();
  void Refuse(uint32_t stream, absl::Status status);  // An answer to a frame that is no good.
  void Send(uint32_t stream, const Response& response);
  void Flush();

  Server* const server_;
  base::EventLoop* const loop_;
  base::UniqueFd fd_;
  FrameReader reader_;
  std::string unsent_;
  uint32_t watched_ = EPOLLIN;  // Events that the loop looks for.
  uint32_t last_stream_ = 0;
  std::map<uint32_t, Running> calls_;  // By stream.
};

Responder MakeResponder(base::EventLoop* loop, const std::shared_ptr<ServerConnection>& connection,
                        uint32_t stream);

}  // namespace ctrd::runtime::ttrpc
