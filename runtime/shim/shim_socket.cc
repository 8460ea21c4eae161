// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/shim_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "base/status.h"
#include "runtime/ttrpc/server.h"
#include "runtime/ttrpc/unix_address.h"

namespace ctrd::runtime::shim {
namespace {

// Whether a server answers there. A full queue is a server that lives.
bool IsServed(const std::string& address) {
  const auto peer = ttrpc::ParseUnixAddress(address);
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return peer.ok() && fd.valid() &&
         (::connect(fd.get(), peer->get(), peer->size) == 0 || errno == EAGAIN);
}

// Two start calls of one group must not both find the old socket dead and remove each other's.
absl::StatusOr<base::UniqueFd> Lock(const std::string& directory) {
  base::UniqueFd lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid() || ::flock(lock.get(), LOCK_EX) != 0) {
    return base::ErrnoStatus("lock", directory);
  }
  return lock;
}

absl::Status Unlink(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return base::ErrnoStatus("unlink", path);
  return absl::OkStatus();
}

std::string PathOf(const std::string& address) {
  return address.substr(std::string_view("unix://").size());
}

}  // namespace

absl::StatusOr<base::UniqueFd> BindOrJoin(const std::string& directory,
                                          const std::string& address) {
  if (!base::Exists(directory)) RETURN_IF_ERROR(base::MakeDirectories(directory, 0700));
  ASSIGN_OR_RETURN(const base::UniqueFd lock, Lock(directory));
  if (IsServed(address)) return base::UniqueFd();
  RETURN_IF_ERROR(Unlink(PathOf(address)));
  return ttrpc::ListenUnix(PathOf(address));
}

absl::Status RemoveDeadSocket(const std::string& address) {
  const std::string path = PathOf(address);
  if (!base::Exists(path)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const base::UniqueFd lock, Lock(path.substr(0, path.rfind('/'))));
  return IsServed(address) ? absl::OkStatus() : Unlink(path);
}

}  // namespace ctrd::runtime::shim
