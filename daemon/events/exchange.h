// SPDX-License-Identifier: Apache-2.0

// Exchange: the event bus of the daemon. What is accepted gets a number, one order for all; every
// subscriber sees what its filter lets through, in that order, from the moment it subscribed.
//
// Publishing never waits for a subscriber: each has a queue of its own with a limit, and one that
// falls behind it is ended with an error instead of losing events silently.
//
// Thread-safe. Source document: docs/api/events.md.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event.h"
#include "base/filter.h"

namespace ctrd::events {

// An accepted event. Numbers start at 1, grow by one and are never used twice by one daemon.
struct Record {
  uint64_t sequence = 0;
  base::Event event;
};

// A field of an event's payload, for the filter field `event.<path>`; nullopt when there is none.
using PayloadField = std::function<std::optional<std::string>(const base::Any& payload,
                                                              const base::FieldPath& path)>;

struct QueueLimits {
  size_t events = 65536;
  size_t bytes = 64 << 20;
};

// One subscriber's end of the bus. Dropping it ends the subscription; its `ready` is not running
// and will not be called once the destructor has returned.
class Subscription {
 public:
  virtual ~Subscription() = default;
  // The next event, or null if none is waiting.
  //   kResourceExhausted  the subscriber was too slow; nothing follows
  virtual absl::StatusOr<std::shared_ptr<const Record>> Next() = 0;
};

class Exchange : public base::EventSink {
 public:
  explicit Exchange(QueueLimits limits = {});
  ~Exchange() override;

  // Checks namespace, topic and time stamp, in this order; then the event is accepted.
  //   kInvalidArgument  with the texts of docs/api/events.md, section 2
  absl::Status Publish(const base::Event& event) override;

  // `ready` is called, from the publisher's thread, whenever something was put into the queue or
  // the subscription has failed. It must not block and must not drop the subscription.
  // Subscriptions may outlive the exchange.
  std::unique_ptr<Subscription> Subscribe(base::Filter filter, PayloadField payload_field,
                                          std::function<void()> ready);

  // The number of the event accepted last.
  uint64_t last_sequence() const { return last_sequence_.load(std::memory_order_relaxed); }

 private:
  class Queue;
  class Handle;

  const QueueLimits limits_;
  std::mutex mutex_;  // Gives the order. Taken before a queue's own.
  std::atomic<uint64_t> last_sequence_ = 0;
  std::vector<std::weak_ptr<Queue>> queues_;
};

// `topic` is "/" and components, each an identifier.
absl::Status ValidateTopic(std::string_view topic);

}  // namespace ctrd::events
