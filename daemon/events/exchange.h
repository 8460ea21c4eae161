// SPDX-License-Identifier: Apache-2.0

// Exchange: the event bus of the daemon. What is accepted gets a number, one order for all; every
// subscriber sees what its filter lets through, in that order, from the moment it subscribed.
//
// Publishing never waits for a subscriber: each has a queue of its own with a limit, and one that
// falls behind it is ended with an error instead of losing events silently.
//
// With a log, what was accepted is in it before anybody sees it, and can be read again (Replay).
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
#include "base/metric.h"
#include "daemon/events/event_log.h"

namespace ctrd::events {

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

// Reads the log, then what comes after it. Ends like a Subscription.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual absl::StatusOr<EventLog::Item> Next() = 0;
  virtual uint64_t position() const = 0;  // The number up to which was read.
};

class Exchange : public base::EventSink, public base::MetricSource {
 public:
  // Without a log nothing can be replayed.
  explicit Exchange(QueueLimits limits = {}, std::unique_ptr<EventLog> log = nullptr);
  ~Exchange() override;

  // Checks namespace, topic and time stamp, in this order; then the event is accepted.
  //   kInvalidArgument  with the texts of docs/api/events.md, section 2
  absl::Status Publish(const base::Event& event) override;

  // `ready` is called, from the publisher's thread, whenever something was put into the queue or
  // the subscription has failed. It must not block and must not drop the subscription.
  // Subscriptions may outlive the exchange.
  std::unique_ptr<Subscription> Subscribe(base::Filter filter, PayloadField payload_field,
                                          std::function<void()> ready);

  // Reads what follows number `after`, as far as it is kept, and goes on with what is accepted
  // then. A reader costs no queue, however slow it is: what it missed it reads from the log, or
  // sees a gap. `ready` is called when there may be more, under the rules of Subscribe. Needs a
  // log.
  std::unique_ptr<Replay> ReadAfter(uint64_t after, base::Filter filter, PayloadField payload_field,
                                    std::function<void()> ready);
  const EventLog* log() const { return log_.get(); }

  void Report(base::MetricSink& sink) const override;

  // The number of the event accepted last.
  uint64_t last_sequence() const { return last_sequence_.load(std::memory_order_relaxed); }

 private:
  class Bell;
  class Queue;
  class Handle;
  class LogReader;

  void Keep(const Record& record);

  const QueueLimits limits_;
  const std::unique_ptr<EventLog> log_;
  base::Counter accepted_, unlogged_;
  mutable std::mutex mutex_;  // Gives the order. Taken before the log's and a queue's own.
  std::atomic<uint64_t> last_sequence_ = 0;
  std::vector<std::weak_ptr<Queue>> queues_;
  std::vector<std::weak_ptr<Bell>> readers_;
};

// `topic` is "/" and components, each an identifier.
absl::Status ValidateTopic(std::string_view topic);

}  // namespace ctrd::events
