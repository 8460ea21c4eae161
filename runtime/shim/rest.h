// SPDX-License-Identifier: Apache-2.0

// Rest gives back what a shim does not need between calls, and a shim is between calls nearly all
// its life: free blocks of the heap, and the pages of the program that only the work of starting
// and ending a container touches. They come back from the page cache when they are used.
#pragma once

#include "base/event_loop.h"

namespace ctrd::runtime::shim {

class Rest {
 public:
  explicit Rest(base::EventLoop* loop) : loop_(loop) {}
  // Something was done: the rest begins once nothing more has been for a moment.
  void Disturb();

 private:
  void Await();

  base::EventLoop* const loop_;
  bool awaited_ = false, disturbed_ = false;
};

}  // namespace ctrd::runtime::shim
