// SPDX-License-Identifier: Apache-2.0

// Any bytes sent to a ttrpc server: it answers or not, notices the end, and lets go of everything.
#include "base/status.h"
#include "runtime/ttrpc/server.h"
#include "tests/fuzz/ttrpc_peer.h"

namespace ttrpc = ctrd::runtime::ttrpc;

std::vector<std::string> ctrd::fuzz::Seeds() {
  ttrpc::Request request = {.service = "test.Test", .method = "Echo", .payload = "hello"};
  std::string two = "\x03" + *ttrpc::EncodeRequestFrame(1, request);
  request.method = "Hold";
  request.timeout_nanoseconds = 1;
  two += *ttrpc::EncodeRequestFrame(3, request);
  request.method = "Fail";
  two += *ttrpc::EncodeRequestFrame(5, request);
  std::string oversize = "\x40" + std::string("\0\x40\0\1\0\0\0\1\1\0", 10) + std::string(100, 'x');
  return {two, oversize, "\xff" + two.substr(1) + two.substr(1)};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {std::string("\0\0\0\0\0\0\0\1\1\0", 10),
          std::string("\0\0\0\0\0\0\0\1\3\5", 10),
          std::string("\0\0\0\0\0\0\0\2\1\0", 10),
          std::string("\xff\xff\xff\xff\0\0\0\1\1\0", 10),
          "test.Test",
          "Echo",
          "Hold",
          "Drop",
          "Fail"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  auto loop = ctrd::base::EventLoop::Create();
  CTRD_FUZZ_CHECK(loop.ok());
  std::vector<ttrpc::Responder> held;
  {
    ttrpc::Server server(loop->get());
    server.AddService(
        "test.Test",
        {{"Echo", [](const auto& call, auto responder) { responder.Reply(call.payload); }},
         {"Hold", [&](const auto&, auto responder) { held.push_back(std::move(responder)); }},
         {"Drop", [](const auto&, auto) {}},
         {"Fail",
          [](const auto&, auto responder) { responder.Reply(ctrd::base::NotFound("it")); }}});
    auto connection = ctrd::fuzz::Connect();
    server.Adopt(std::move(connection.ours));
    const ctrd::fuzz::Peer peer(loop->get(), std::move(connection.theirs),
                                ctrd::fuzz::AsText(data + 1, size - 1), 1 + data[0] * 16);
    (*loop)->Run();
    for (const auto& responder : held) responder.Reply(std::string("late"));
  }
  return 0;
}
