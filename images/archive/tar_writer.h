// SPDX-License-Identifier: Apache-2.0

// TarWriter: writes a tar stream. Equal entries give equal bytes on every system: ustar headers,
// and a PAX header before an entry only where ustar cannot say it (long or non-ASCII names, large
// numbers, extended attributes, fractions of seconds). Source document: docs/api/diff.md.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "images/archive/byte_stream.h"
#include "images/archive/tar_entry.h"

namespace ctrd::archive {

class TarWriter {
 public:
  explicit TarWriter(ByteSink& sink) : sink_(sink) {}

  // Starts an entry. A regular file's data follow, `size_bytes` in all.
  absl::Status WriteHeader(const TarEntry& entry);
  absl::Status WriteData(std::string_view data);
  // Ends the archive with two blocks of zeros.
  absl::Status Finish();

 private:
  absl::Status EndEntry();
  absl::Status WritePaxHeader(const TarEntry& entry, const std::string& records);

  ByteSink& sink_;
  int64_t data_left_ = 0;
  int64_t padding_ = 0;
};

}  // namespace ctrd::archive
