// SPDX-License-Identifier: Apache-2.0

// ShimChannel: one connection to one shim, whatever that speaks. Any number of calls at a time, of
// any of its services; messages are bytes.
//
// Thread-safe. An error is the shim's, unchanged; a lost connection ends all calls with
// ttrpc::ClosedError. It is never made again: its end is the sign that the shim is gone.
// Source documents: docs/api/shim.md, docs/api/ttrpc.md.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/supervisor/bootstrap.h"

namespace ctrd::runtime {

struct ShimCall {
  std::string service;  // "containerd.task.v3.Task"
  std::string method;
  std::string payload;
  std::string namespace_name;
};

class ShimChannel {
 public:
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  // Connects to `endpoint` by its protocol, within `deadline`; as DialShim. `loop` outlives the
  // channel.
  static absl::StatusOr<std::unique_ptr<ShimChannel>> Connect(base::EventLoop* loop,
                                                              const ShimEndpoint& endpoint,
                                                              absl::Time deadline);
  // Closes. Calls that run end soon, perhaps after this.
  virtual ~ShimChannel() = default;

  // Calls `done` once, on the loop's thread, which it must not block: by `deadline`, with
  // kDeadlineExceeded then. An answer that comes later is dropped.
  virtual void Call(ShimCall call, absl::Time deadline, Done done) = 0;
  // The same, waiting for it. Not on the loop's thread.
  absl::StatusOr<std::string> CallAndWait(ShimCall call, absl::Time deadline);

  // Called once, on the loop's thread, when the connection is gone and all calls have ended; soon,
  // if it is gone already. One callback at a time.
  virtual void OnClose(std::function<void()> callback) = 0;
  virtual void Close() = 0;
  virtual bool closed() const = 0;
};

// The two kinds there are, over a connection that was made: for Connect, and for tests.
std::unique_ptr<ShimChannel> AdoptTtrpc(base::EventLoop* loop, base::UniqueFd connection);
std::unique_ptr<ShimChannel> AdoptGrpc(base::EventLoop* loop, base::UniqueFd connection);

}  // namespace ctrd::runtime
