// SPDX-License-Identifier: Apache-2.0

// Any bytes as the answers of a ttrpc server: each call and each stream ends exactly once, whatever
// came back.
#include "absl/time/clock.h"
#include "base/status.h"
#include "runtime/ttrpc/client.h"
#include "tests/fuzz/ttrpc_peer.h"

namespace ttrpc = ctrd::runtime::ttrpc;

std::vector<std::string> ctrd::fuzz::Seeds() {
  const std::string first = *ttrpc::EncodeResponseFrame(1, std::string("payload"));
  const std::string second = *ttrpc::EncodeResponseFrame(3, ctrd::base::NotFound("thing"));
  // Calls are 1, 3 and 5, the streams 7, 9 and 11: one for each kind.
  const std::string streams = *ttrpc::EncodeResponseFrame(7, std::string("sum")) +
                              *ttrpc::EncodeDataFrame(9, 0, "one") +
                              *ttrpc::EncodeDataFrame(11, ttrpc::kRemoteClosed, "last") +
                              *ttrpc::EncodeDataFrame(9, ttrpc::kRemoteClosed | ttrpc::kNoData, "");
  return {"\x03" + second + first, "\x50" + first + first, "\1" + first.substr(0, 12),
          "\x40" + streams, "\x04" + streams + first};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {std::string("\0\0\0\0\0\0\0\1\2\0", 10),   std::string("\0\0\0\0\0\0\0\3\2\0", 10),
          std::string("\0\0\0\0\0\0\0\7\3\5", 10),   std::string("\0\0\0\0\0\0\0\x9\3\0", 10),
          std::string("\0\0\0\1\0\0\0\xb\3\1x", 11), std::string("\0\x40\0\1\0\0\0\1\2\0", 10)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr int kCalls = 3, kStreams = 3;
  auto loop = ctrd::base::EventLoop::Create();
  CTRD_FUZZ_CHECK(loop.ok());
  int ended[kCalls + kStreams] = {};
  {
    auto connection = ctrd::fuzz::Connect();
    const auto client = ttrpc::Client::Adopt(loop->get(), std::move(connection.ours));
    const auto deadline = absl::Now() + absl::Minutes(1);
    const auto request = ttrpc::MakeRequest("test.Test", "Echo", "x", "fuzz");
    for (int i = 0; i < kCalls; ++i) {
      client->Call(request, deadline, [&ended, i](const ttrpc::Response&) { ++ended[i]; });
    }
    std::unique_ptr<ttrpc::ClientStream> streams[kStreams];
    for (int i = 0; i < kStreams; ++i) {
      // One that pauses after each message, and goes on when it has sent one itself.
      const auto message = [stream = &streams[i]](const std::string& text) {
        (*stream)->Pause();
        (void)(*stream)->Send(text);
        (*stream)->Resume();
      };
      const auto end = [&count = ended[kCalls + i]](const ttrpc::Response&) { ++count; };
      streams[i] = client->Open(request, static_cast<ttrpc::StreamKind>(i), deadline,
                                {.message = message, .closed = {}, .writable = {}, .ended = end});
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
