// SPDX-License-Identifier: Apache-2.0

// StreamLog: remembers what a side was told of its stream, and lets a test wait for it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "runtime/ttrpc/stream.h"

namespace ctrd::runtime::ttrpc {

class StreamLog {
 public:
  // Lives as long as somebody has the events.
  StreamEvents events() const {
    return {.message =
                [s = state_](std::string message) {
                  s->Note([&] { s->messages.push_back(std::move(message)); });
                },
            .closed = [s = state_] { s->Note([&] { ++s->closed; }); },
            .writable = [s = state_] { s->Note([&] { ++s->writable; }); },
            .ended =
                [s = state_](Response result) {
                  s->Note([&] {
                    ++s->ends;
                    s->result = std::move(result);
                  });
                }};
  }
  // The result, once it is there.
  Response AwaitEnd() {
    Await([this] { return state_->result.has_value(); });
    const std::lock_guard lock(state_->mutex);
    EXPECT_EQ(state_->ends, 1);
    return state_->result ? *state_->result : absl::UnknownError("did not end");
  }
  std::vector<std::string> AwaitMessages(size_t count) {
    Await([&] { return state_->messages.size() >= count; });
    return messages();
  }
  void AwaitClosed() {
    Await([this] { return state_->closed > 0; });
  }
  void AwaitWritable() {
    Await([this] { return state_->writable > 0; });
  }
  std::vector<std::string> messages() const {
    const std::lock_guard lock(state_->mutex);
    return state_->messages;
  }
  bool ended() const {
    const std::lock_guard lock(state_->mutex);
    return state_->result.has_value();
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> messages;
    int closed = 0, writable = 0, ends = 0;
    std::optional<Response> result;

    template <typename Change>
    void Note(Change change) {
      const std::lock_guard lock(mutex);
      change();
      changed.notify_all();
    }
  };

  template <typename Condition>
  void Await(Condition condition) {
    std::unique_lock lock(state_->mutex);
    EXPECT_TRUE(state_->changed.wait_for(lock, std::chrono::seconds(30), condition));
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace ctrd::runtime::ttrpc
