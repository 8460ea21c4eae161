// SPDX-License-Identifier: Apache-2.0

// Relay moves bytes from one descriptor to another as the event loop finds them ready: inside the
// kernel where it can (splice), through a small buffer else. Both descriptors are non-blocking.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace ctrd::runtime::shim {

class Relay {
 public:
  // What a broken sink means: the source is read on and thrown away, so that who writes to it does
  // not suffer, or the relay is over.
  enum class BrokenSink { kDiscard, kFinish };

  // Begins at once. `finished` is called once, from the loop, when the source has ended; the
  // descriptors are closed by then. An invalid `sink` throws all away.
  Relay(base::EventLoop* loop, base::UniqueFd source, base::UniqueFd sink, BrokenSink broken_sink,
        std::function<void()> finished);
  ~Relay() { Close(); }  // Without calling `finished`.
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  bool finished() const { return !source_.valid(); }

 private:
  enum class Step { kMore, kWaitForSource, kWaitForSink, kFinished };
  void Pump();
  Step SpliceSome();
  Step CopySome();
  Step WriteBuffer();
  void WaitFor(Step side);
  void Finish();
  void Close();

  base::EventLoop* const loop_;
  base::UniqueFd source_, sink_;
  const BrokenSink broken_sink_;
  std::function<void()> finished_;
  bool can_splice_ = true;
  std::string buffer_;  // Read and not yet written.
  int watched_ = -1;    // The descriptor the loop looks at for us.
};

}  // namespace ctrd::runtime::shim
