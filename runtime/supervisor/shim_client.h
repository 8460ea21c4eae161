// SPDX-License-Identifier: Apache-2.0

// ShimClient: the task API of one shim, for one task. Over ttrpc it speaks version 3 and falls back
// to version 2 when the shim's first answer says it knows no version 3; the messages are the same.
// Over gRPC there is only version 3.
//
// Thread-safe. Errors are the shim's, unchanged; a lost connection is kUnknown "ttrpc: closed".
// Source documents: docs/api/shim.md, section 10; docs/api/ttrpc.md.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/context.h"
#include "base/event_loop.h"
#include "base/status.h"
#include "runtime/supervisor/shim_channel.h"
#include "runtime/task/v3/shim.pb.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime {

namespace task_v3 = containerd::task::v3;

class ShimClient : public std::enable_shared_from_this<ShimClient> {
 public:
  using Done = ShimChannel::Done;

  // `loop` outlives the client.
  //   kUnknown  "containerd client supports only v2 and v3 TTRPC task client (got N)"
  //   others    as DialShim
  static absl::StatusOr<std::shared_ptr<ShimClient>> Connect(base::EventLoop* loop,
                                                             const ShimEndpoint& endpoint,
                                                             std::string namespace_name,
                                                             absl::Time deadline);

  // Calls `done` once, on the loop's thread, which it must not block.
  void Call(std::string_view method, std::string request, absl::Time deadline, Done done);
  // The same, waiting: until the answer, the deadline, or the end of `context`.
  absl::StatusOr<std::string> CallAndWait(const base::Context& context, std::string_view method,
                                          std::string request);

  // Called once, on the loop's thread, when the connection is gone.
  void OnClose(std::function<void()> callback) { channel_->OnClose(std::move(callback)); }
  void Close() { channel_->Close(); }
  bool closed() const { return channel_->closed(); }
  int version() const { return version_.load(); }

 private:
  ShimClient(std::unique_ptr<ShimChannel> channel, std::string namespace_name, int version,
             bool has_older)
      : channel_(std::move(channel)),
        namespace_(std::move(namespace_name)),
        version_(version),
        version_known_(!has_older) {}
  ShimCall MakeCall(std::string_view method, std::string payload, int version) const;

  const std::unique_ptr<ShimChannel> channel_;
  const std::string namespace_;
  std::atomic<int> version_;
  std::atomic<bool> version_known_;
};

}  // namespace ctrd::runtime
