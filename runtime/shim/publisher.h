// SPDX-License-Identifier: Apache-2.0

// Publisher hands the shim's events to the daemon, one after another, in the order they came in.
//
// While the daemon is away nothing is lost: what waits is tried again, a little later each time,
// and at once when the daemon is heard of (DaemonIsThere). An event that the daemon is there for
// and does not take is dropped after some tries, and the queue is bounded: when it is full, the
// oldest event goes that is not an exit, and an exit only if there is nothing else. What a dropped
// event told can still be asked of the shim.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime::shim {

struct PublisherLimits {
  size_t most_queued = 1024;
  int most_refusals = 6;  // The first try and five more.
  absl::Duration first_pause = absl::Seconds(1);
  absl::Duration longest_pause = absl::Seconds(10);
};

class Publisher {
 public:
  // `address`: the daemon's ttrpc socket; "" drops all events.
  Publisher(base::EventLoop* loop, std::string address, std::string namespace_name,
            PublisherLimits limits = {})
      : loop_(loop),
        address_(std::move(address)),
        namespace_(std::move(namespace_name)),
        limits_(limits) {}

  // `value` is an encoded message of `type`.
  void Publish(std::string topic, std::string type, std::string value);
  // The daemon was heard of: does not wait for the end of a pause.
  void DaemonIsThere();
  // Calls `done` when nothing is left to send.
  void Flush(std::function<void()> done);
  size_t queued() const { return queue_.size(); }

 private:
  struct Entry {
    std::string topic;
    std::string request;  // An encoded ForwardRequest.
    int refusals = 0;
  };
  void Next();
  void SendFirst(bool reconnected);
  void Sent(const absl::Status& status, bool reconnected);
  void MakeRoom();

  base::EventLoop* const loop_;
  const std::string address_, namespace_;
  const PublisherLimits limits_;
  std::unique_ptr<ttrpc::Client> client_;
  std::deque<Entry> queue_;  // The first one is being sent or waits to be tried again.
  bool busy_ = false;
  int failures_ = 0;                               // In a row.
  std::optional<base::EventLoop::TimerId> pause_;  // Until the next try.
  std::function<void()> flushed_;
};

}  // namespace ctrd::runtime::shim
