// SPDX-License-Identifier: Apache-2.0

// Publisher hands the shim's events to the daemon, one after another, in the order they came in. An
// event the daemon does not take is tried again, a little later each time; after the last try it is
// dropped, and what it told can still be asked of the shim.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "runtime/ttrpc/client.h"

namespace ctrd::runtime::shim {

class Publisher {
 public:
  // `address`: the daemon's ttrpc socket; "" drops all events.
  Publisher(base::EventLoop* loop, std::string address, std::string namespace_name)
      : loop_(loop), address_(std::move(address)), namespace_(std::move(namespace_name)) {}

  // `type`: bare name of the message; `value`: its encoding.
  void Publish(std::string topic, std::string type, std::string value);
  // Calls `done` once nothing waits to be sent.
  void Flush(std::function<void()> done);

 private:
  struct Entry {
    std::string topic;
    std::string request;  // ForwardRequest, encoded.
    int failures = 0;
  };
  void SendFirst(bool reconnected);
  void Sent(const absl::Status& status, bool reconnected);
  void Next();

  base::EventLoop* const loop_;
  const std::string address_, namespace_;
  std::unique_ptr<ttrpc::Client> client_;
  std::deque<Entry> queue_;
  bool busy_ = false;  // The first of the queue is on its way, or waits for its next try.
  std::function<void()> flushed_;
};

}  // namespace ctrd::runtime::shim
