// SPDX-License-Identifier: Apache-2.0

// Peer: a ttrpc connection whose other end is a test that writes and reads frames by hand.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "runtime/ttrpc/frame.h"

namespace ctrd::runtime::ttrpc {

// The test's end of a connection.
class Peer {
 public:
  // `other` becomes the end that is tested.
  explicit Peer(base::UniqueFd& other) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const timeval limit{.tv_sec = 30};
    EXPECT_EQ(::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    fd_.Reset(ends[0]);
    other.Reset(ends[1]);
  }
  void Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return;  // It was closed on us: the test sees that when it reads.
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }
  void Write(uint32_t stream, int type, std::string_view data, int flags = 0) {
    Write(Header(static_cast<uint32_t>(data.size()), stream, type, flags) + std::string(data));
  }
  static std::string Header(uint32_t length, uint32_t stream, int type, int flags = 0) {
    std::string header;
    for (const uint32_t value : {length, stream}) {
      for (int shift = 24; shift >= 0; shift -= 8) header += static_cast<char>(value >> shift);
    }
    return header + static_cast<char>(type) + static_cast<char>(flags);
  }
  // The next frame; nullopt at the end of the stream.
  std::optional<Frame> Read() {
    std::optional<Frame> frame;
    while (frames_.empty()) {
      const bool open = reader_.ReadFrom(fd_.get(), [this](Frame next) {
        frames_.push_back(std::move(next));
        return true;
      });
      if (!frames_.empty()) break;
      char byte;
      if (!open || ::recv(fd_.get(), &byte, 1, MSG_PEEK) <= 0) return std::nullopt;
    }
    frame = std::move(frames_.front());
    frames_.erase(frames_.begin());
    return frame;
  }
  void EndOfWriting() { EXPECT_EQ(::shutdown(fd_.get(), SHUT_WR), 0); }
  void Close() { fd_.Reset(); }

 private:
  base::UniqueFd fd_;
  FrameReader reader_;
  std::vector<Frame> frames_;
};

}  // namespace ctrd::runtime::ttrpc
