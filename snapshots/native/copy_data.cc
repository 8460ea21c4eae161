// SPDX-License-Identifier: Apache-2.0
#include "snapshots/native/copy_data.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/status.h"

namespace ctrd::snapshots {
namespace {

constexpr size_t kBufferBytes = 128 << 10;

absl::Status CopyThroughMemory(int from, int to, int64_t begin, int64_t end,
                               std::string_view name) {
  std::vector<char> buffer(kBufferBytes);
  while (begin < end) {
    const size_t want = std::min<int64_t>(end - begin, kBufferBytes);
    const ssize_t got = ::pread(from, buffer.data(), want, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus("read", name);
    if (got == 0) return absl::OkStatus();
    for (ssize_t done = 0; done < got;) {
      const ssize_t written = ::pwrite(to, buffer.data() + done, got - done, begin + done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return base::ErrnoStatus("write", name);
      done += written;
    }
    begin += got;
  }
  return absl::OkStatus();
}

// One stretch of data without holes.
absl::Status CopyRange(int from, int to, int64_t begin, int64_t end, std::string_view name) {
  while (begin < end) {
    off_t in = begin, out = begin;
    const ssize_t copied = ::copy_file_range(from, &in, to, &out, end - begin, 0);
    if (copied > 0) {
      begin += copied;
    } else if (copied < 0 && errno == EINTR) {
      continue;
    } else if (copied < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO)) {
      return base::ErrnoStatus("copy", name);
    } else {
      // Not between these two file systems, or a file that the kernel makes up as it is read.
      return CopyThroughMemory(from, to, begin, end, name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CopyData(int from, int to, int64_t size, std::string_view name) {
  if (size == 0 || ::ioctl(to, FICLONE, from) == 0) return absl::OkStatus();
  if (::ftruncate(to, size) != 0) return base::ErrnoStatus("truncate", name);
  for (int64_t at = 0; at < size;) {
    const off_t begin = ::lseek(from, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // A hole up to the end.
    if (begin < 0) return CopyRange(from, to, at, size, name);
    const off_t end = ::lseek(from, begin, SEEK_HOLE);
    if (end < 0) return CopyRange(from, to, begin, size, name);
    RETURN_IF_ERROR(CopyRange(from, to, begin, std::min<int64_t>(end, size), name));
    at = end;
  }
  return absl::OkStatus();
}

}  // namespace ctrd::snapshots
