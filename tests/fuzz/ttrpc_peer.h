// SPDX-License-Identifier: Apache-2.0

// The other end of a ttrpc connection, which sends what the fuzzer made: for the fuzzers of server
// and client.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "tests/fuzz/fuzzer.h"

namespace ctrd::fuzz {

struct Connection {
  base::UniqueFd ours, theirs;
};

inline Connection Connect() {
  int ends[2];
  CTRD_FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  return {base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

// Sends `bytes` in pieces of `piece` bytes, one per turn of the loop, and then nothing more. Drops
// the answers. Stops the loop when the other side has closed, too.
class Peer {
 public:
  Peer(base::EventLoop* loop, base::UniqueFd socket, std::string_view bytes, size_t piece)
      : loop_(loop), socket_(std::move(socket)), rest_(bytes), piece_(piece) {
    const auto ready = [this](uint32_t) { Drain(); };
    CTRD_FUZZ_CHECK(loop_->Add(socket_.get(), EPOLLIN, ready).ok());
    loop_->Post([this] { Send(); });
  }
  ~Peer() { loop_->Remove(socket_.get()); }

 private:
  void Send() {
    const std::string_view part = rest_.substr(0, piece_);
    if (part.empty()) {
      (void)::shutdown(socket_.get(), SHUT_WR);  // Fails when the other side has gone.
      return;
    }
    const ssize_t sent =
        ::send(socket_.get(), part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) rest_.remove_prefix(static_cast<size_t>(sent));
    if (sent < 0 && errno != EAGAIN) return;
    loop_->Post([this] { Send(); });
  }

  void Drain() {
    char buffer[4096];
    const ssize_t count = ::recv(socket_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (count > 0 || (count < 0 && errno == EAGAIN)) return;
    loop_->Remove(socket_.get());
    loop_->Stop();
  }

  base::EventLoop* const loop_;
  const base::UniqueFd socket_;
  std::string_view rest_;
  const size_t piece_;
};

}  // namespace ctrd::fuzz
