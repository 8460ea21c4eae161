// SPDX-License-Identifier: Apache-2.0

// Any bytes sent to a ttrpc server: it answers or not, notices the end, and lets go of everything.
// A stream that its method has not finished is told of its end, once.
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
  request.method = "Sum";
  std::string streams = "\x20" + *ttrpc::EncodeRequestFrame(1, request, ttrpc::kRemoteOpen);
  request.method = "Count";
  streams += *ttrpc::EncodeRequestFrame(3, request, ttrpc::kRemoteClosed);
  request.method = "Chat";
  streams += *ttrpc::EncodeRequestFrame(5, request, ttrpc::kRemoteOpen);
  for (const uint32_t stream : {1, 5}) {
    streams += *ttrpc::EncodeDataFrame(stream, 0, "more");
    streams += *ttrpc::EncodeDataFrame(stream, ttrpc::kRemoteClosed | ttrpc::kNoData, "");
  }
  return {two, oversize, streams, "\xff" + two.substr(1) + streams.substr(1)};
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
          "Fail",
          "Sum",
          "Count",
          "Chat",
          std::string("\0\0\0\0\0\0\0\5\3\0", 10),
          std::string("\0\0\0\1\0\0\0\5\3\1x", 11)};
}

namespace {

// Streams that are open, and were told of their end, by a method that may pause.
struct Told {
  int opened = 0, finished = 0, ended = 0;
};

ttrpc::Streams TestStreams(Told& told) {
  const auto method = [&told](ttrpc::StreamKind kind) {
    return ttrpc::StreamMethod{kind, [&told](const auto&, ttrpc::ServerStream stream) {
                                 ++told.opened;
                                 return ttrpc::StreamEvents{
                                     .message =
                                         [stream](const std::string& text) {
                                           stream.Pause();
                                           (void)stream.Send(text);
                                           if (text != "stay") stream.Resume();
                                         },
                                     .closed =
                                         [stream, &told] {
                                           ++told.finished;
                                           stream.Finish(std::string("sum"));
                                         },
                                     .writable = {},
                                     .ended = [&told](const auto&) { ++told.ended; }};
                               }};
  };
  return {{"Sum", method(ttrpc::StreamKind::kClientStreams)},
          {"Count", method(ttrpc::StreamKind::kServerStreams)},
          {"Chat", method(ttrpc::StreamKind::kBothStream)}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  auto loop = ctrd::base::EventLoop::Create();
  CTRD_FUZZ_CHECK(loop.ok());
  std::vector<ttrpc::Responder> held;
  Told told;
  {
    ttrpc::Server server(loop->get());
    server.AddService(
        "test.Test",
        {{"Echo", [](const auto& call, auto responder) { responder.Reply(call.payload); }},
         {"Hold", [&](const auto&, auto responder) { held.push_back(std::move(responder)); }},
         {"Drop", [](const auto&, auto) {}},
         {"Fail",
          [](const auto&, auto responder) { responder.Reply(ctrd::base::NotFound("it")); }}});
    server.AddStreams("test.Test", TestStreams(told));
    auto connection = ctrd::fuzz::Connect();
    server.Adopt(std::move(connection.ours));
    const ctrd::fuzz::Peer peer(loop->get(), std::move(connection.theirs),
                                ctrd::fuzz::AsText(data + 1, size - 1), 1 + data[0] * 16);
    (*loop)->Run();
    for (const auto& responder : held) responder.Reply(std::string("late"));
  }
  CTRD_FUZZ_CHECK(told.opened == told.finished + told.ended);
  return 0;
}
