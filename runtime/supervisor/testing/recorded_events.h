// SPDX-License-Identifier: Apache-2.0

// RecordedEvents: an event sink that remembers, and lets a test wait for what is to come.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/event.h"

namespace ctrd::runtime {

class RecordedEvents : public base::EventSink {
 public:
  absl::Status Publish(const base::Event& event) override {
    const std::scoped_lock lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
    return absl::OkStatus();
  }

  // The first event of `topic`; nullopt if none came in `limit`.
  std::optional<base::Event> Await(const std::string& topic,
                                   absl::Duration limit = absl::Seconds(20)) {
    std::unique_lock lock(mutex_);
    std::optional<base::Event> found;
    changed_.wait_for(lock, absl::ToChronoMilliseconds(limit), [&] {
      const auto it = std::find_if(events_.begin(), events_.end(),
                                   [&](const base::Event& event) { return event.topic == topic; });
      if (it != events_.end()) found = *it;
      return found.has_value();
    });
    return found;
  }

  std::vector<std::string> Topics() {
    const std::scoped_lock lock(mutex_);
    std::vector<std::string> topics;
    for (const auto& event : events_) topics.push_back(event.topic);
    return topics;
  }

  std::vector<base::Event> All() {
    const std::scoped_lock lock(mutex_);
    return events_;
  }

  void Clear() {
    const std::scoped_lock lock(mutex_);
    events_.clear();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<base::Event> events_;
};

}  // namespace ctrd::runtime
