// SPDX-License-Identifier: Apache-2.0
#include "runtime/ttrpc/frame.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/status.h"
#include "base/wire.h"

namespace ctrd::runtime::ttrpc {
namespace {

// Reads of one turn: others on the same loop want theirs too.
constexpr int kReadsPerTurn = 64;

void AppendBigEndian(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

uint32_t BigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

absl::StatusOr<std::string> EncodeFrame(uint32_t stream, FrameType type, uint8_t flags,
                                        std::string_view data) {
  if (data.size() > kMaxMessageBytes) return OversizeError(data.size());
  std::string frame;
  frame.reserve(kHeaderBytes + data.size());
  AppendBigEndian(frame, static_cast<uint32_t>(data.size()));
  AppendBigEndian(frame, stream);
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  frame.append(data);
  return frame;
}

}  // namespace

absl::Status OversizeError(uint64_t length) {
  return absl::ResourceExhaustedError(base::ToAbsl(fmt::format(
      "message length {} exceed maximum message size of {}", length, kMaxMessageBytes)));
}

std::string_view FirstValue(const Metadata& metadata, std::string_view key) {
  for (const auto& [name, value] : metadata) {
    if (name == key) return value;
  }
  return {};
}

absl::StatusOr<std::string> EncodeRequestFrame(uint32_t stream, const Request& request,
                                               uint8_t flags) {
  base::WireWriter writer;
  writer.Bytes(1, request.service).Bytes(2, request.method).Bytes(3, request.payload);
  writer.Varint(4, static_cast<uint64_t>(request.timeout_nanoseconds));
  for (const auto& [key, value] : request.metadata) {
    writer.Message(5, base::WireWriter().Bytes(1, key).Bytes(2, value).Take());
  }
  return EncodeFrame(stream, kRequest, flags, writer.Take());
}

absl::StatusOr<std::string> EncodeResponseFrame(uint32_t stream, const Response& response) {
  base::WireWriter writer;
  if (response.ok()) {
    writer.Bytes(2, *response);
  } else {
    writer.Message(1, base::WireWriter()
                          .Varint(1, static_cast<uint64_t>(response.status().raw_code()))
                          .Bytes(2, base::FromAbsl(response.status().message()))
                          .Take());
  }
  return EncodeFrame(stream, kResponse, 0, writer.Take());
}

absl::StatusOr<std::string> EncodeDataFrame(uint32_t stream, uint8_t flags,
                                            std::string_view message) {
  return EncodeFrame(stream, kData, flags, message);
}

absl::StatusOr<Request> DecodeRequest(std::string_view data) {
  Request request;
  base::WireReader reader(data);
  while (const auto field = reader.Next()) {
    switch (field->number) {
      case 1:
        request.service = field->bytes;
        break;
      case 2:
        request.method = field->bytes;
        break;
      case 3:
        request.payload = field->bytes;
        break;
      case 4:
        request.timeout_nanoseconds = static_cast<int64_t>(field->varint);
        break;
      case 5: {
        const base::Any pair = base::ReadWireAny(field->bytes);  // The same two fields.
        request.metadata.emplace_back(pair.type_url, pair.value);
        break;
      }
    }
  }
  if (!reader.ok()) {
    return absl::InvalidArgumentError(
        "unmarshal request error: proto: cannot parse invalid "
        "wire-format data");
  }
  return request;
}

Response DecodeResponse(std::string_view data) {
  std::string payload, message;
  int code = 0;
  base::WireReader reader(data);
  while (const auto field = reader.Next()) {
    if (field->number == 2) payload = field->bytes;
    if (field->number != 1) continue;
    base::WireReader status(field->bytes);
    while (const auto part = status.Next()) {
      if (part->number == 1) code = static_cast<int>(part->varint);
      if (part->number == 2) message = part->bytes;
    }
  }
  if (!reader.ok()) return absl::UnknownError("unmarshal response error");
  if (code == 0) return payload;
  return absl::Status(static_cast<absl::StatusCode>(code), base::ToAbsl(message));
}

bool FrameReader::ReadFrom(int fd, const Sink& sink) {
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    char buffer[4096];
    const ssize_t count = ::recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return false;
    if (!Consume({buffer, static_cast<size_t>(count)}, sink)) return false;
    if (static_cast<size_t>(count) < sizeof(buffer)) return true;
  }
  return true;
}

void FrameReader::StartFrame() {
  const uint32_t length = BigEndian(header_);
  frame_ = {.stream = BigEndian(std::string_view(header_).substr(4)),
            .type = static_cast<uint8_t>(header_[8]),
            .flags = static_cast<uint8_t>(header_[9])};
  if (length > kMaxMessageBytes) frame_.oversize = length;
  missing_ = length;
  in_data_ = true;
  header_.clear();
}

bool FrameReader::Consume(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    if (!in_data_) {
      const size_t take = std::min(kHeaderBytes - header_.size(), bytes.size());
      header_.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      if (header_.size() < kHeaderBytes) return true;
      StartFrame();
      // At once: what was announced may never come.
      if (frame_.oversize != 0 && !sink(frame_)) return false;
    }
    const size_t take = std::min<size_t>(missing_, bytes.size());
    if (frame_.oversize == 0) frame_.data.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    missing_ -= static_cast<uint32_t>(take);
    if (missing_ > 0) return true;
    in_data_ = false;
    Frame whole = std::exchange(frame_, {});
    if (whole.oversize == 0 && !sink(std::move(whole))) return false;
  }
  return true;
}

}  // namespace ctrd::runtime::ttrpc
