// SPDX-License-Identifier: Apache-2.0

// The compressions layers come in. What a stream is is told by its first bytes, not by its name.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "images/archive/byte_stream.h"

namespace ctrd::archive {

enum class Compression { kNone, kGzip, kZstd };

// From the first bytes of a stream; ten are enough.
Compression DetectCompression(std::string_view first_bytes);

// The uncompressed bytes of `source`, which must outlive the result. gzip streams may have several
// members, zstd streams several frames and skippable ones. A stream that is cut short, damaged or
// followed by something else is an error; an empty one is empty.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenDecompressor(ByteSource& source);

// Compresses what is written to it into a sink. kNone passes on.
class Compressor : public ByteSink {
 public:
  // Writes what is left and the end of the stream. Nothing may be written after it.
  virtual absl::Status Finish() = 0;
};
absl::StatusOr<std::unique_ptr<Compressor>> OpenCompressor(Compression compression, ByteSink& sink);

}  // namespace ctrd::archive
