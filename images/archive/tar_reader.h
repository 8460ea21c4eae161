// SPDX-License-Identifier: Apache-2.0

// TarReader: the entries of a tar stream, one after the other, without copying their data.
//
// Understands ustar, PAX (path, linkpath, size, uid, gid, mtime, atime, SCHILY.xattr.*), GNU long
// names, GNU and star times, numbers in base 256 and the type flag of old regular files. Headers of
// extended information are bounded; sparse files are refused. Takes any bytes.
//
//   while (true) {
//     ASSIGN_OR_RETURN(const TarEntry* entry, reader.Next());
//     if (entry == nullptr) break;
//     … reader.ReadData() until it is empty …
//   }
//   RETURN_IF_ERROR(reader.Drain());
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "images/archive/byte_stream.h"
#include "images/archive/tar_entry.h"

namespace ctrd::archive {

class TarReader {
 public:
  explicit TarReader(ByteSource& source);

  // The next entry, skipping what was not read of the one before; nullptr at the end. Valid until
  // the next call.  kUnknown "archive/tar: invalid tar header", "unexpected EOF".
  absl::StatusOr<const TarEntry*> Next();
  // More data of the entry, "" at their end. Valid until the next call of anything.
  absl::StatusOr<std::string_view> ReadData();
  // Reads the stream to its end, so that all of it has been seen below.
  absl::Status Drain();

 private:
  struct Extensions;
  absl::StatusOr<bool> NextHeader(Extensions& extensions);
  absl::StatusOr<bool> ReadBlock(std::string_view& block);
  absl::Status SkipData();
  absl::StatusOr<std::string> ReadExtension(int64_t size_bytes);
  absl::Status ApplyExtensions(const Extensions& extensions);
  absl::Status Fill();

  ByteSource& source_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool ended_ = false;
  int64_t data_left_ = 0;     // Of the current entry.
  int64_t padding_left_ = 0;  // After its data.
  TarEntry entry_;
};

}  // namespace ctrd::archive
