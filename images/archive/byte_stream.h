// SPDX-License-Identifier: Apache-2.0

// Streams of bytes, pulled and pushed. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"

namespace ctrd::archive {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills the front of `buffer`, which is not empty; the number of bytes, 0 at the end only.
  virtual absl::StatusOr<size_t> Read(std::span<char> buffer) = 0;
};

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual absl::Status Write(std::string_view data) = 0;
};

// Passes `source` on, and knows digest and length of what went through.
class HashingSource : public ByteSource {
 public:
  explicit HashingSource(ByteSource& source) : source_(source) {}
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    absl::StatusOr<size_t> count = source_.Read(buffer);
    if (count.ok()) {
      hasher_.Update(std::string_view(buffer.data(), *count));
      size_ += static_cast<int64_t>(*count);
    }
    return count;
  }
  base::Digest digest() const { return hasher_.Current(); }
  int64_t size_bytes() const { return size_; }

 private:
  ByteSource& source_;
  base::Hasher hasher_;
  int64_t size_ = 0;
};

// The same for a sink.
class HashingSink : public ByteSink {
 public:
  explicit HashingSink(ByteSink& sink) : sink_(sink) {}
  absl::Status Write(std::string_view data) override {
    hasher_.Update(data);
    size_ += static_cast<int64_t>(data.size());
    return sink_.Write(data);
  }
  base::Digest digest() const { return hasher_.Current(); }
  int64_t size_bytes() const { return size_; }

 private:
  ByteSink& sink_;
  base::Hasher hasher_;
  int64_t size_ = 0;
};

// Bytes in memory, which the caller keeps. At most `piece` bytes at once, if it is not 0: for tests
// of what happens at the seams.
class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view data, size_t piece = 0) : rest_(data), piece_(piece) {}
  absl::StatusOr<size_t> Read(std::span<char> buffer) override {
    size_t count = rest_.size() < buffer.size() ? rest_.size() : buffer.size();
    if (piece_ > 0 && count > piece_) count = piece_;
    rest_.copy(buffer.data(), count);
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
  size_t piece_;
};

}  // namespace ctrd::archive
