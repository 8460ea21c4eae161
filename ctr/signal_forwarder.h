// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thread>

#include "base/unique_fd.h"
#include "ctr/client.h"

namespace ctrd::ctr {

struct ProcessId;

// While it lives, signals to this program go to a process of a container; with a terminal, whose
// keys make the signals, only changes of its size do. There is at most one.
class SignalForwarder {
 public:
  SignalForwarder(const Client& client, const ProcessId& id, bool terminal);
  ~SignalForwarder();
  SignalForwarder(const SignalForwarder&) = delete;
  SignalForwarder& operator=(const SignalForwarder&) = delete;

 private:
  base::UniqueFd read_end_;
  base::UniqueFd write_end_;
  bool terminal_;
  std::thread thread_;
};

}  // namespace ctrd::ctr
