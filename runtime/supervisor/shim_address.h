// SPDX-License-Identifier: Apache-2.0

// Where shims listen, and how to get there:
//
//   unix://PATH        a UNIX socket
//   NAME               one in the abstract space; a name like a path may also be a socket file
//   vsock://CID:PORT   a virtual machine's socket
//   hvsock://PATH:PORT the same behind a UNIX socket of the hypervisor: the side that connects
//   sends
//                      "CONNECT PORT\n" and gets a line with "OK"
//
// Source document: docs/api/shim.md.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace ctrd::runtime {

// A stream socket, non-blocking, connected to what listens at `address`, with the first words
// already exchanged where there are any. A hypervisor that hangs up is asked again until
// `deadline`.
//   kNotFound, kUnavailable  nobody listens there
//   kInvalidArgument         it is no address
//   kDeadlineExceeded        there is somebody, who did not answer in time
absl::StatusOr<base::UniqueFd> DialShim(const std::string& address, absl::Time deadline);

// The names that a listener at `address` may have in /proc/net/unix; none for one that is not on
// this machine, or that others than the shim hold.
std::vector<std::string> ListenerNames(const std::string& address);
// The socket file of `address`, "" if it has none of its own.
std::string SocketFile(const std::string& address);

}  // namespace ctrd::runtime
