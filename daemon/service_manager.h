// SPDX-License-Identifier: Apache-2.0

// What the daemon tells the program that supervises it: the datagrams of sd_notify(3), to the
// socket named by $NOTIFY_SOCKET. Written here because libsystemd and the libraries behind it would
// stay in the daemon's memory for these two messages.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace ctrd {

// Sends one state, "READY=1" or "STOPPING=1". OK, and nothing sent, if nobody asked to be told.
//   kInvalidArgument  $NOTIFY_SOCKET names no UNIX socket
absl::Status NotifyServiceManager(std::string_view state);

}  // namespace ctrd
