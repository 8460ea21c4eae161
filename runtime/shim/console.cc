// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/console.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/time/clock.h"
#include "base/status.h"
#include "runtime/shim/temporary.h"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostNameBytes = 4096;
constexpr mode_t kRuntimeDirSocketMode = 01755;  // The sticky bit keeps cleaners away from it.

// The one descriptor that comes with a message.
absl::StatusOr<base::UniqueFd> ReceiveDescriptor(int connection) {
  char name[kMostNameBytes];
  iovec data{name, sizeof(name)};
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t count = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  if (count < 0) return base::ErrnoStatus("recvmsg", "console socket");

  base::UniqueFd received;
  int descriptors = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t numbers = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < numbers; ++i, ++descriptors) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      received.Reset(fd);
    }
  }
  if (descriptors != 1) return base::Unknown("console socket: {} descriptors sent", descriptors);
  if (::isatty(received.get()) != 1) return base::Unknown("console socket: not a terminal sent");
  return received;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConsoleSocket>> ConsoleSocket::Create(base::EventLoop* loop,
                                                                     const std::string& bundle) {
  ASSIGN_OR_RETURN(std::string directory, MakeSocketFolder(kTerminalFolder, bundle));
  std::unique_ptr<ConsoleSocket> socket(new ConsoleSocket(loop, std::move(directory)));

  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket->path_.size() >= sizeof(address.sun_path)) {
    return base::Unknown("console socket path '{}' is too long", socket->path_);
  }
  socket->path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  socket->listener_.Reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = socket->listener_.get();
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd, 1) != 0) {
    return base::ErrnoStatus("listen", socket->path_);
  }
  if (TemporariesAreOfSession()) (void)::chmod(socket->path_.c_str(), kRuntimeDirSocketMode);
  return socket;
}

ConsoleSocket::~ConsoleSocket() {
  if (listener_.valid()) loop_->Remove(listener_.get());
  (void)::unlink(path_.c_str());  // What is left of them is harmless.
  (void)::rmdir(directory_.c_str());
}

Async<absl::Status> ConsoleSocket::AwaitReadable(int fd, absl::Time deadline) {
  Completion<absl::Status> ready;
  const auto callback = ready.callback();
  const auto timer = loop_->After(deadline - absl::Now(), [callback] {
    callback(base::MakeError(absl::StatusCode::kDeadlineExceeded, ""));
  });
  absl::Status status =
      loop_->Add(fd, EPOLLIN, [callback](uint32_t) { callback(absl::OkStatus()); });
  if (status.ok()) {
    status = co_await ready;
  }
  loop_->Cancel(timer);
  loop_->Remove(fd);
  co_return status;
}

Async<absl::StatusOr<base::UniqueFd>> ConsoleSocket::Receive(absl::Time deadline) {
  CO_RETURN_IF_ERROR(co_await AwaitReadable(listener_.get(), deadline));
  const base::UniqueFd connection(
      ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection.valid()) co_return base::ErrnoStatus("accept", path_);
  CO_RETURN_IF_ERROR(co_await AwaitReadable(connection.get(), deadline));
  CO_ASSIGN_OR_RETURN(base::UniqueFd terminal, ReceiveDescriptor(connection.get()));
  (void)::fcntl(terminal.get(), F_SETFL, O_NONBLOCK | ::fcntl(terminal.get(), F_GETFL));
  co_return terminal;
}

}  // namespace ctrd::runtime::shim
