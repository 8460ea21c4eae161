// SPDX-License-Identifier: Apache-2.0

// The client's ends of a process's streams: named pipes that it made, or files. Nothing here blocks
// the thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "runtime/shim/async.h"

namespace ctrd::runtime::shim {

// A stream as we hold it. `keep_alive` is the other end of the same pipe: with it our end survives
// a client that goes away, and output waits for one that comes back.
struct Stream {
  base::UniqueFd fd;
  base::UniqueFd keep_alive;  // Invalid for files.
};

// Opens `path` for writing: a pipe once a reader has opened its end, at the latest at `deadline`,
// unless `*abandoned` comes true before; an existing file for appending.
Async<absl::StatusOr<Stream>> OpenOutput(base::EventLoop* loop, std::string path,
                                         absl::Time deadline, const bool* abandoned);
// Opens `path` for reading.
absl::StatusOr<Stream> OpenInput(const std::string& path);
// A log file: its directory and the file are made where missing, and it is appended to.
absl::StatusOr<base::UniqueFd> OpenLogFile(const std::string& path);

}  // namespace ctrd::runtime::shim
