// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "base/status.h"
#include "runtime/ttrpc/server_connection.h"
#include "runtime/ttrpc/unix_address.h"

namespace ctrd::runtime::ttrpc {
namespace {

constexpr int kBacklog = 4096;
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

bool IsTemporary(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
         error_number == ENOMEM;
}

bool IsOurs(int connection) {
  ucred peer;
  socklen_t size = sizeof(peer);
  return ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         peer.uid == ::geteuid() && peer.gid == ::getegid();
}

}  // namespace

struct PendingCall {
  base::EventLoop* loop;
  std::weak_ptr<ServerConnection> connection;
  uint32_t stream;

  ~PendingCall() {
    // No answer so far: the connection drops this one otherwise.
    Answer(absl::UnknownError("ttrpc: marshal called with nil"));
  }
  void Answer(Response response) const {
    const auto peer = connection.lock();
    if (peer == nullptr) return;
    if (loop->InLoopThread()) return peer->Answer(stream, std::move(response));
    loop->Post([peer, id = stream, response = std::move(response)]() mutable {
      peer->Answer(id, std::move(response));
    });
  }
};

void Responder::Reply(Response response) const { call_->Answer(std::move(response)); }

Responder MakeResponder(base::EventLoop* loop, const std::shared_ptr<ServerConnection>& connection,
                        uint32_t stream) {
  return Responder(std::shared_ptr<PendingCall>(new PendingCall{loop, connection, stream}));
}

Server::~Server() {
  *alive_ = false;
  for (const base::UniqueFd& listener : listeners_) loop_->Remove(listener.get());
  drained_ = nullptr;
  while (!connections_.empty()) connections_.begin()->second->Close();
}

void Server::AddService(const std::string& name, Service service) {
  services_[name] = std::move(service);
}

void Server::AddStreams(const std::string& name, Streams streams) {
  streams_[name] = std::move(streams);
}

absl::Status Server::Listen(base::UniqueFd listener) {
  const int fd = listener.get();
  if (::fcntl(fd, F_SETFL, O_NONBLOCK | ::fcntl(fd, F_GETFL)) != 0) {
    return base::ErrnoStatus("fcntl", "listener");
  }
  RETURN_IF_ERROR(loop_->Add(fd, EPOLLIN, [this, fd](uint32_t) { Accept(fd); }));
  listeners_.push_back(std::move(listener));
  return absl::OkStatus();
}

void Server::Accept(int listener) {
  while (true) {
    base::UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid()) {
      Adopt(std::move(connection));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (!IsTemporary(errno)) return;
    // Out of descriptors or memory: not now.
    loop_->Modify(listener, 0);
    loop_->After(kAcceptPause, [this, listener, alive = alive_] {
      if (*alive) loop_->Modify(listener, EPOLLIN);
    });
    return;
  }
}

void Server::Adopt(base::UniqueFd connection) {
  if (!IsOurs(connection.get())) return;
  auto served = std::make_shared<ServerConnection>(this, loop_, std::move(connection));
  if (const absl::Status status = served->Start(); !status.ok()) {
    return base::LogWarn("cannot serve connection", {{"error", status}});
  }
  connections_[served.get()] = served;
}

void Server::Drain(std::function<void()> done) {
  for (const base::UniqueFd& listener : listeners_) loop_->Remove(listener.get());
  listeners_.clear();
  draining_ = true;
  drained_ = std::move(done);
  CloseIdle();
}

void Server::CloseIdle() {
  std::vector<std::shared_ptr<ServerConnection>> idle;
  for (const auto& [connection, owner] : connections_) {
    if (connection->idle()) idle.push_back(owner);
  }
  for (const auto& connection : idle) connection->Close();
  if (connections_.empty() && drained_) std::exchange(drained_, nullptr)();
}

void Server::Closed(ServerConnection* connection) {
  connections_.erase(connection);
  if (draining_ && connections_.empty() && drained_) std::exchange(drained_, nullptr)();
}

absl::StatusOr<base::UniqueFd> ListenUnix(const std::string& path) {
  ASSIGN_OR_RETURN(const UnixAddress address, ParseUnixAddress(path));
  base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return base::ErrnoStatus("socket", path);
  // The mode of the socket's inode becomes that of the file, without a moment in between.
  if (::fchmod(listener.get(), 0600) != 0) return base::ErrnoStatus("chmod", path);
  if (::bind(listener.get(), address.get(), address.size) != 0) {
    return base::ErrnoStatus("bind", path);
  }
  if (::listen(listener.get(), kBacklog) != 0) return base::ErrnoStatus("listen", path);
  return listener;
}

}  // namespace ctrd::runtime::ttrpc
