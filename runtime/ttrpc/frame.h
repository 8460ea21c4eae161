// SPDX-License-Identifier: Apache-2.0

// Frames of the ttrpc protocol and what request and response frames hold. No generated code: the
// envelope is read and written field by field (base/wire.h).
//
//   frame = length (4, big endian) · stream id (4) · type (1) · flags (1) · `length` bytes
//
// Source document: docs/api/ttrpc.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ctrd::runtime::ttrpc {

inline constexpr uint32_t kMaxMessageBytes = 4 << 20;
inline constexpr size_t kHeaderBytes = 10;
inline constexpr std::string_view kNamespaceKey = "containerd-namespace-ttrpc";

enum FrameType : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };
enum FrameFlags : uint8_t {
  kRemoteClosed = 1,  // The sender sends no more data on this stream.
  kRemoteOpen = 2,    // Of a request: data will follow.
  kNoData = 4,        // Of data: it carries no message, which is not an empty message.
};

struct Frame {
  uint32_t stream = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
  std::string data;
  uint32_t oversize = 0;  // Not 0: so many bytes were announced, and will be thrown away.
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string service;
  std::string method;
  std::string payload;
  int64_t timeout_nanoseconds = 0;  // 0 for none; negative if the deadline has passed.
  Metadata metadata;
};

using Response = absl::StatusOr<std::string>;  // The payload, or the status.

// The first value of `key`, or "".
std::string_view FirstValue(const Metadata& metadata, std::string_view key);

// Frames of the three types, ready for the socket.
//   kResourceExhausted  "message length <n> exceed maximum message size of 4194304"
absl::StatusOr<std::string> EncodeRequestFrame(uint32_t stream, const Request& request,
                                               uint8_t flags = 0);
absl::StatusOr<std::string> EncodeResponseFrame(uint32_t stream, const Response& response);
absl::StatusOr<std::string> EncodeDataFrame(uint32_t stream, uint8_t flags,
                                            std::string_view message);
absl::Status OversizeError(uint64_t length);

//   kInvalidArgument  "unmarshal request error: …"
absl::StatusOr<Request> DecodeRequest(std::string_view data);
Response DecodeResponse(std::string_view data);

// Puts frames together from a non-blocking socket. A frame that is too long is told of when it is
// announced; its data are thrown away as they come in.
class FrameReader {
 public:
  // Takes one frame; false: stop reading, the connection is gone.
  using Sink = std::function<bool(Frame)>;
  // Reads what is there. False at the end of the stream or on an error of the socket.
  bool ReadFrom(int fd, const Sink& sink);

 private:
  bool Consume(std::string_view bytes, const Sink& sink);
  void StartFrame();

  std::string header_;
  Frame frame_;
  uint32_t missing_ = 0;  // Bytes of the frame's data that are still to come.
  bool in_data_ = false;
};

}  // namespace ctrd::runtime::ttrpc
