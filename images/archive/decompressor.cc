// SPDX-License-Identifier: Apache-2.0
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <cstring>
#include <vector>

#include "base/status.h"
#include "images/archive/compression.h"

namespace ctrd::archive {
namespace {

constexpr size_t kInputBytes = 256 << 10;
constexpr size_t kMagicBytes = 10;

// The compressed bytes that were read and not used yet.
class Input {
 public:
  explicit Input(ByteSource& source) : source_(source), buffer_(kInputBytes) {}

  std::string_view rest() const { return {buffer_.data() + begin_, end_ - begin_}; }
  void Skip(size_t count) { begin_ += count; }
  bool at_end() const { return ended_ && begin_ == end_; }

  // Reads until `count` bytes are there, or the end.
  absl::Status Need(size_t count) {
    while (end_ - begin_ < count && !ended_) RETURN_IF_ERROR(Fill());
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> ReadThrough(std::span<char> buffer) { return source_.Read(buffer); }

 private:
  absl::Status Fill() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    ASSIGN_OR_RETURN(const size_t count, source_.Read(std::span<char>(buffer_).subspan(end_)));
    ended_ = count == 0;
    end_ += count;
    return absl::OkStatus();
  }

  ByteSource& source_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool ended_ = false;
};

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(Input input) : input_(std::move(input)) {}
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    const std::string_view rest = input_.rest();
    if (rest.empty()) return input_.ReadThrough(buffer);
    const size_t count = rest.copy(buffer.data(), buffer.size());
    input_.Skip(count);
    return count;
  }

 private:
  Input input_;
};

class GzipSource : public ByteSource {
 public:
  explicit GzipSource(Input input) : input_(std::move(input)), state_(new inflate_state) {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    while (true) {
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        RETURN_IF_ERROR(input_.Need(1));
        if (input_.at_end()) return 0;
        RETURN_IF_ERROR(NextMember());
      }
      ASSIGN_OR_RETURN(const size_t count, Inflate(buffer));
      if (count > 0) return count;
    }
  }

 private:
  absl::Status NextMember() {
    RETURN_IF_ERROR(input_.Need(kMagicBytes));
    if (DetectCompression(input_.rest()) != Compression::kGzip) {
      return base::Unknown("gzip: invalid header");
    }
    isal_inflate_reset(state_.get());
    state_->crc_flag = ISAL_GZIP;
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Inflate(std::span<char> buffer) {
    RETURN_IF_ERROR(input_.Need(1));
    const std::string_view rest = input_.rest();
    // The library takes a mutable pointer and does not write through it.
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(rest.data()));
    state_->avail_in = static_cast<uint32_t>(rest.size());
    state_->next_out = reinterpret_cast<uint8_t*>(buffer.data());
    state_->avail_out = static_cast<uint32_t>(std::min<size_t>(buffer.size(), 1u << 30));
    const uint32_t room = state_->avail_out;
    const int result = isal_inflate(state_.get());
    const size_t used = rest.size() - state_->avail_in;
    const size_t made = room - state_->avail_out;
    input_.Skip(used);
    if (result == ISAL_INCORRECT_CHECKSUM) return base::Unknown("gzip: invalid checksum");
    if (result < 0) return base::Unknown("gzip: corrupt input ({})", result);
    if (used == 0 && made == 0 && state_->block_state != ISAL_BLOCK_FINISH) {
      return base::Unknown("gzip: unexpected EOF");
    }
    return made;
  }

  Input input_;
  std::unique_ptr<inflate_state> state_;
};

class ZstdSource : public ByteSource {
 public:
  explicit ZstdSource(Input input)
      : input_(std::move(input)), state_(ZSTD_createDCtx(), ZSTD_freeDCtx) {}

  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    ZSTD_outBuffer out = {buffer.data(), buffer.size(), 0};
    while (out.pos == 0) {
      RETURN_IF_ERROR(input_.Need(1));
      const std::string_view rest = input_.rest();
      if (rest.empty() && frame_ended_) return 0;
      ZSTD_inBuffer in = {rest.data(), rest.size(), 0};
      const size_t result = ZSTD_decompressStream(state_.get(), &out, &in);
      if (ZSTD_isError(result)) return base::Unknown("zstd: {}", ZSTD_getErrorName(result));
      input_.Skip(in.pos);
      frame_ended_ = result == 0;
      if (rest.empty() && out.pos == 0 && !frame_ended_) {
        return base::Unknown("zstd: unexpected EOF");
      }
    }
    return out.pos;
  }

 private:
  Input input_;
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> state_;
  bool frame_ended_ = true;
};

}  // namespace

Compression DetectCompression(std::string_view first_bytes) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(first_bytes[i]));
  };
  if (first_bytes.starts_with("\x1f\x8b\x08")) return Compression::kGzip;
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return Compression::kZstd;
  if (first_bytes.size() >= 8) {
    const uint32_t magic = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
    if ((magic & 0xFFFFFFF0) == 0x184D2A50) return Compression::kZstd;  // A skippable frame.
  }
  return Compression::kNone;
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenDecompressor(ByteSource& source) {
  Input input(source);
  RETURN_IF_ERROR(input.Need(kMagicBytes));
  switch (DetectCompression(input.rest())) {
    case Compression::kGzip:
      return std::make_unique<GzipSource>(std::move(input));
    case Compression::kZstd:
      return std::make_unique<ZstdSource>(std::move(input));
    case Compression::kNone:
      break;
  }
  return std::make_unique<PlainSource>(std::move(input));
}

}  // namespace ctrd::archive
