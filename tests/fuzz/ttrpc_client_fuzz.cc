// SPDX-License-Identifier: Apache-2.0

// Any bytes as the answers of a ttrpc server: each call ends exactly once, whatever came back.
#include "absl/time/clock.h"
#include "base/status.h"
#include "runtime/ttrpc/client.h"
#include "tests/fuzz/ttrpc_peer.h"

namespace ttrpc = ctrd::runtime::ttrpc;

std::vector<std::string> ctrd::fuzz::Seeds() {
  const std::string first = *ttrpc::EncodeResponseFrame(1, std::string("payload"));
  const std::string second = *ttrpc::EncodeResponseFrame(3, ctrd::base::NotFound("thing"));
  return {"\x03" + second + first, "\x50" + first + first, "\1" + first.substr(0, 12)};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {std::string("\0\0\0\0\0\0\0\1\2\0", 10), std::string("\0\0\0\0\0\0\0\3\2\0", 10),
          std::string("\0\0\0\0\0\0\0\1\3\5", 10), std::string("\0\x40\0\1\0\0\0\1\2\0", 10)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr int kCalls = 3;
  auto loop = ctrd::base::EventLoop::Create();
  CTRD_FUZZ_CHECK(loop.ok());
  int ended[kCalls] = {};
  {
    auto connection = ctrd::fuzz::Connect();
    const auto client = ttrpc::Client::Adopt(loop->get(), std::move(connection.ours));
    const auto deadline = absl::Now() + absl::Minutes(1);
    for (int& count : ended) {
      client->Call(ttrpc::MakeRequest("test.Test", "Echo", "x", "fuzz"), deadline,
                   [&count](const ttrpc::Response&) { ++count; });
    }
    bool closed = false;
    client->OnClose([&closed] { closed = true; });
    const ctrd::fuzz::Peer peer(loop->get(), std::move(connection.theirs),
                                ctrd::fuzz::AsText(data + 1, size - 1), 1 + data[0] * 16);
    (*loop)->Run();
    (*loop)->Post([&] { (*loop)->Stop(); });  // What closing has left to do.
    (*loop)->Run();
    CTRD_FUZZ_CHECK(closed);
  }
  for (const int count : ended) CTRD_FUZZ_CHECK(count == 1);
  return 0;
}
