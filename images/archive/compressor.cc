// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>
#include <zstd.h>

#include <vector>

#include "base/status.h"
#include "images/archive/compression.h"

namespace ctrd::archive {
namespace {

constexpr size_t kOutputBytes = 256 << 10;

class PassingCompressor : public Compressor {
 public:
  explicit PassingCompressor(ByteSink& sink) : sink_(sink) {}
  absl::Status Write(std::string_view data) override { return sink_.Write(data); }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  ByteSink& sink_;
};

class GzipCompressor : public Compressor {
 public:
  explicit GzipCompressor(ByteSink& sink) : sink_(sink), buffer_(kOutputBytes) {}
  ~GzipCompressor() override { deflateEnd(&stream_); }

  absl::Status Start() {
    // 16: with a gzip header and trailer.
    if (deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
      return base::Internal("gzip: cannot start");
    }
    header_.os = 255;  // Unknown: the same bytes on every system. No name, no time.
    deflateSetHeader(&stream_, &header_);
    return absl::OkStatus();
  }
  absl::Status Write(std::string_view data) override {
    while (!data.empty()) {
      const size_t part = std::min<size_t>(data.size(), 1u << 30);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
      stream_.avail_in = static_cast<uInt>(part);
      while (stream_.avail_in > 0) RETURN_IF_ERROR(Deflate(Z_NO_FLUSH).status());
      data.remove_prefix(part);
    }
    return absl::OkStatus();
  }
  absl::Status Finish() override {
    while (true) {
      ASSIGN_OR_RETURN(const bool ended, Deflate(Z_FINISH));
      if (ended) return absl::OkStatus();
    }
  }

 private:
  absl::StatusOr<bool> Deflate(int flush) {
    stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_out = static_cast<uInt>(buffer_.size());
    const int result = deflate(&stream_, flush);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      return base::Internal("gzip: deflate failed with {}", result);
    }
    const size_t made = buffer_.size() - stream_.avail_out;
    if (made > 0) RETURN_IF_ERROR(sink_.Write({buffer_.data(), made}));
    return result == Z_STREAM_END;
  }

  ByteSink& sink_;
  std::vector<char> buffer_;
  z_stream stream_ = {};
  gz_header header_ = {};
};

class ZstdCompressor : public Compressor {
 public:
  explicit ZstdCompressor(ByteSink& sink)
      : sink_(sink), buffer_(kOutputBytes), state_(ZSTD_createCCtx(), ZSTD_freeCCtx) {}

  absl::Status Write(std::string_view data) override {
    ZSTD_inBuffer in = {data.data(), data.size(), 0};
    while (in.pos < in.size) RETURN_IF_ERROR(Compress(in, ZSTD_e_continue).status());
    return absl::OkStatus();
  }
  absl::Status Finish() override {
    ZSTD_inBuffer in = {nullptr, 0, 0};
    while (true) {
      ASSIGN_OR_RETURN(const size_t left, Compress(in, ZSTD_e_end));
      if (left == 0) return absl::OkStatus();
    }
  }

 private:
  absl::StatusOr<size_t> Compress(ZSTD_inBuffer& in, ZSTD_EndDirective directive) {
    ZSTD_outBuffer out = {buffer_.data(), buffer_.size(), 0};
    const size_t left = ZSTD_compressStream2(state_.get(), &out, &in, directive);
    if (ZSTD_isError(left)) return base::Internal("zstd: {}", ZSTD_getErrorName(left));
    if (out.pos > 0) RETURN_IF_ERROR(sink_.Write({buffer_.data(), out.pos}));
    return left;
  }

  ByteSink& sink_;
  std::vector<char> buffer_;
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> state_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Compressor>> OpenCompressor(Compression compression,
                                                           ByteSink& sink) {
  if (compression == Compression::kZstd) return std::make_unique<ZstdCompressor>(sink);
  if (compression == Compression::kNone) return std::make_unique<PassingCompressor>(sink);
  auto gzip = std::make_unique<GzipCompressor>(sink);
  RETURN_IF_ERROR(gzip->Start());
  return gzip;
}

}  // namespace ctrd::archive
