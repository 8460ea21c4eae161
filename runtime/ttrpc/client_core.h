// SPDX-License-Identifier: Apache-2.0

// What a Client, its streams, and what they left on the event loop share. Private to runtime/ttrpc.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/ttrpc/client.h"
#include "runtime/ttrpc/frame.h"
#include "runtime/ttrpc/stream.h"

namespace ctrd::runtime::ttrpc {

struct ClientCore : std::enable_shared_from_this<ClientCore> {
  // A call that waits for its answer, or a stream.
  struct Pending {
    Client::Done done;
    std::shared_ptr<StreamReceiver> receiver;  // Of a stream; null of a call.
    StreamKind kind = StreamKind::kClientStreams;
    bool send_closed = false;
    bool wants_to_send = false;
    std::optional<base::EventLoop::TimerId> timer;  // Touched on the loop's thread only.

    bool is_stream() const { return receiver != nullptr; }
    void End(Response response) const;
  };

  ClientCore(base::EventLoop* event_loop, base::UniqueFd connection)
      : loop(event_loop), fd(std::move(connection)) {}

  void OnLoop(base::EventLoop::Task task);
  void Start();
  // Sends a request. Returns the stream of the call; 0, if it failed and was told so.
  uint32_t Send(Request request, absl::Time deadline, Pending call);
  void Arm(uint32_t stream, absl::Time deadline);
  std::optional<Pending> Forget(uint32_t stream);
  void Shut();
  // What ClientStream promises. `flags` of the frame.
  absl::Status SendData(uint32_t stream, uint8_t flags, std::string_view message);
  // Forgets a stream that goes on at the server.
  std::optional<Pending> Abandon(uint32_t stream);

  base::EventLoop* const loop;
  FrameReader reader;  // Of the loop's thread.
  mutable std::mutex mutex;
  // All below is guarded by the mutex. A stream id is taken and its frame queued in one go: ids
  // must grow on the wire.
  base::UniqueFd fd;
  bool closed = false;
  uint32_t next_stream = 1;
  std::string unsent;
  std::map<uint32_t, Pending> pending;
  std::function<void()> on_close;

 private:
  // With the mutex held.
  void SendSome();
  void Queue(std::string_view frame);

  void OnReady(uint32_t events);
  bool Take(Frame frame);
  void TakeStream(Frame frame, const std::shared_ptr<StreamReceiver>& receiver, StreamKind kind);
  void TellWritable();
};

absl::Status DeadlineError();

}  // namespace ctrd::runtime::ttrpc
