// SPDX-License-Identifier: Apache-2.0

// Events, as lower layers hand them up. The bus itself is the daemon's (daemon/events).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/any.h"

namespace ctrd::base {

struct Event {
  absl::Time timestamp;
  std::string namespace_name;
  std::string topic;  // "/tasks/exit"
  Any payload;        // type_url is the bare name of the message: "containerd.events.TaskExit".
};

// Takes events. Thread-safe. Accepting an event is quick and never waits for a subscriber.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Stamps nothing: the event is taken as it stands.
  //   kInvalidArgument  bad topic or namespace
  virtual absl::Status Publish(const Event& event) = 0;
};

}  // namespace ctrd::base
