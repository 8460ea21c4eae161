// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/frame.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "base/testing/status_matchers.h"
#include "base/unique_fd.h"
#include "base/wire.h"
#include "gtest/gtest.h"

namespace ctrd::runtime::ttrpc {
namespace {

using base::IsOk;
using base::StatusIs;

std::string FromHex(std::string_view hex) {
  std::string bytes, digits;
  for (const char c : hex) {
    if (c != ' ' && c != '\n') digits.push_back(c);
  }
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Request ConnectRequest() {
  return {.service = "containerd.task.v3.Task",
          .method = "Connect",
          .payload = base::WireWriter().Bytes(1, "c1").Take(),
          .metadata = {{"containerd-namespace-ttrpc", "default"}}};
}

// The worked example of the protocol's document.
constexpr std::string_view kConnectFrame =
    "0000004f 00000001 01 00"
    "0a17 636f6e7461696e6572642e7461736b2e76332e5461736b"
    "1207 436f6e6e656374 1a04 0a026331 2a25"
    "0a1a 636f6e7461696e6572642d6e616d6573706163652d7474727063 1207 64656661756c74";

TEST(Frame, RequestIsTheWorkedExample) {
  ASSERT_OK_AND_ASSIGN(std::string frame, EncodeRequestFrame(1, ConnectRequest()));
  EXPECT_EQ(frame, FromHex(kConnectFrame));
}

TEST(Frame, DeadlineStandsBetweenPayloadAndMetadata) {
  Request request = ConnectRequest();
  request.timeout_nanoseconds = 2'000'000'000;
  ASSERT_OK_AND_ASSIGN(std::string frame, EncodeRequestFrame(1, request));
  EXPECT_NE(frame.find(FromHex("0a026331 2080a8d6b907 2a25")), std::string::npos);
}

TEST(Frame, ResponsesAreTheWorkedExamples) {
  const std::string payload = base::WireWriter().Varint(1, 4242).Varint(2, 4243).Take();
  ASSERT_OK_AND_ASSIGN(std::string frame, EncodeResponseFrame(1, payload));
  EXPECT_EQ(frame, FromHex("00000008 00000001 0200 1206089221109321"));

  ASSERT_OK_AND_ASSIGN(frame, EncodeResponseFrame(3, base::NotFound("container not created")));
  EXPECT_EQ(frame, FromHex("00000026 00000003 0200 0a24 0805 1220"
                           "636f6e7461696e6572206e6f7420637265617465643a206e6f7420666f756e64"));

  ASSERT_OK_AND_ASSIGN(frame, EncodeResponseFrame(5, std::string()));
  EXPECT_EQ(frame, FromHex("00000000 00000005 0200"));
}

TEST(Frame, ForwardedEventIsTheWorkedExample) {
  base::WireWriter envelope;
  envelope.Time(1, absl::FromUnixSeconds(1700000000) + absl::Nanoseconds(5));
  envelope.Bytes(2, "default").Bytes(3, "/tasks/start");
  envelope.Any(4, {.type_url = "containerd.events.TaskStart",
                   .value = base::WireWriter().Bytes(1, "c1").Varint(2, 4243).Take()});
  Request request = ConnectRequest();
  request.service = "containerd.services.events.ttrpc.v1.Events";
  request.method = "Forward";
  request.payload = base::WireWriter().Message(1, envelope.Take()).Take();
  request.timeout_nanoseconds = 5'000'000'000;
  ASSERT_OK_AND_ASSIGN(std::string frame, EncodeRequestFrame(7, request));
  EXPECT_EQ(frame.substr(0, 12), FromHex("000000af 00000007 0100 0a2a"));
  EXPECT_NE(frame.find(FromHex("1a4b 0a49 0a08 0880e2cfaa06 1005 1207")), std::string::npos);
  EXPECT_NE(frame.find(FromHex("2080e497d012 2a25")), std::string::npos);
  EXPECT_EQ(frame.size(), kHeaderBytes + 0xaf);
}

TEST(Frame, RequestIsReadBackWhole) {
  ASSERT_OK_AND_ASSIGN(Request request, DecodeRequest(FromHex(kConnectFrame).substr(kHeaderBytes)));
  EXPECT_EQ(request.service, "containerd.task.v3.Task");
  EXPECT_EQ(request.method, "Connect");
  EXPECT_EQ(FirstValue(request.metadata, kNamespaceKey), "default");
  EXPECT_EQ(FirstValue(request.metadata, "other"), "");
}

TEST(Frame, BrokenEnvelopeIsInvalid) {
  EXPECT_THAT(DecodeRequest("\x0a\x7f"), StatusIs(absl::StatusCode::kInvalidArgument,
                                                  testing::HasSubstr("unmarshal request error: ")));
}

TEST(Frame, ErrorStatusWinsOverAPayload) {
  const std::string status = base::WireWriter().Varint(1, 12).Bytes(2, "service x").Take();
  const std::string data = base::WireWriter().Message(1, status).Bytes(2, "payload").Take();
  EXPECT_THAT(DecodeResponse(data), StatusIs(absl::StatusCode::kUnimplemented, "service x"));
}

TEST(Frame, LargestEnvelopeIsAcceptedAndOneByteMoreIsNot) {
  // Tag and length of the payload field take five bytes.
  EXPECT_THAT(EncodeResponseFrame(1, std::string(kMaxMessageBytes - 5, 'x')), IsOk());
  EXPECT_THAT(EncodeResponseFrame(1, std::string(kMaxMessageBytes - 4, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "message length 4194305 exceed maximum message size of 4194304"));
}

TEST(FrameReader, PutsFramesTogetherFromSingleBytes) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const base::UniqueFd reading(ends[0]), writing(ends[1]);
  FrameReader reader;
  std::vector<Frame> frames;
  const auto sink = [&](Frame frame) {
    frames.push_back(std::move(frame));
    return true;
  };
  for (const char byte : FromHex("00000003 00000005 0205 616263 00000000 00000007 0200")) {
    ASSERT_EQ(write(writing.get(), &byte, 1), 1);
    ASSERT_TRUE(reader.ReadFrom(reading.get(), sink));
  }
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].stream, 5u);
  EXPECT_EQ(frames[0].type, kResponse);
  EXPECT_EQ(frames[0].flags, 5);
  EXPECT_EQ(frames[0].data, "abc");
  EXPECT_EQ(frames[1].stream, 7u);
  EXPECT_EQ(frames[1].data, "");
}

}  // namespace
}  // namespace ctrd::runtime::ttrpc
