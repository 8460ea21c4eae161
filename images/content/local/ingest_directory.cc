// SPDX-License-Identifier: Apache-2.0
#include "images/content/local/ingest_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "base/time.h"

namespace ctrd::content {
namespace {

constexpr size_t kSmallFileLimitBytes = 64 << 10;

absl::StatusOr<std::string> ReadSmallFile(int directory, const char* name) {
  base::UniqueFd fd(::openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return base::ErrnoStatus("open", name);
  std::string text;
  char buffer[4096];
  while (text.size() < kSmallFileLimitBytes) {
    const ssize_t count = ::read(fd.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus("read", name);
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
  return base::DataLoss("{} of an ingest is too long", name);
}

absl::Status WriteSmallFile(int directory, const char* name, std::string_view text) {
  base::UniqueFd fd(
      ::openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd.valid()) return base::ErrnoStatus("open", name);
  const ssize_t count = ::write(fd.get(), text.data(), text.size());
  if (count < 0) return base::ErrnoStatus("write", name);
  if (static_cast<size_t>(count) != text.size()) return base::ErrnoStatus(ENOSPC, "write", name);
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> ReadTimeFile(int directory, const char* name) {
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(directory, name));
  const std::optional<absl::Time> time = base::ParseRfc3339(text);
  if (!time.has_value()) return base::DataLoss("{} of an ingest is no time", name);
  return *time;
}

absl::StatusOr<int64_t> ReadTotal(int directory) {
  absl::StatusOr<std::string> text = ReadSmallFile(directory, "total");
  if (absl::IsNotFound(text.status())) return 0;
  RETURN_IF_ERROR(text.status());
  int64_t total = 0;
  if (!absl::SimpleAtoi(*text, &total) || total < 0) {
    return base::DataLoss("total of an ingest is no number");
  }
  return total;
}

}  // namespace

absl::StatusOr<IngestStatus> ReadIngest(int directory) {
  IngestStatus status;
  ASSIGN_OR_RETURN(status.ref, ReadSmallFile(directory, "ref"));
  struct stat data;
  if (::fstatat(directory, "data", &data, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::ErrnoStatus("stat", "data");
  }
  status.offset_bytes = data.st_size;
  ASSIGN_OR_RETURN(status.started, ReadTimeFile(directory, "startedat"));
  ASSIGN_OR_RETURN(status.updated, ReadTimeFile(directory, "updatedat"));
  status.updated = std::max(status.updated, absl::TimeFromTimespec(data.st_mtim));
  ASSIGN_OR_RETURN(status.total_bytes, ReadTotal(directory));
  return status;
}

absl::Status InitializeIngest(int directory, const IngestStatus& status) {
  // Not synced: if power fails, a file that is missing or torn makes the next writer start over,
  // and data that were lost make a digest that no commit accepts. The times go last: an ingest
  // without them is not resumed, so a crash in between cannot pair old data with the new ref.
  for (const char* name : {"startedat", "updatedat", "total"}) {
    if (::unlinkat(directory, name, 0) != 0 && errno != ENOENT) {
      return base::ErrnoStatus("unlink", name);
    }
  }
  RETURN_IF_ERROR(WriteSmallFile(directory, "data", ""));
  RETURN_IF_ERROR(WriteSmallFile(directory, "ref", status.ref));
  if (status.total_bytes > 0) {
    RETURN_IF_ERROR(WriteSmallFile(directory, "total", fmt::format("{}", status.total_bytes)));
  }
  RETURN_IF_ERROR(WriteSmallFile(directory, "updatedat", base::FormatRfc3339(status.updated)));
  return WriteSmallFile(directory, "startedat", base::FormatRfc3339(status.started));
}

absl::Status TouchIngest(int directory, absl::Time now) {
  RETURN_IF_ERROR(WriteSmallFile(directory, "updatedat.tmp", base::FormatRfc3339(now)));
  if (::renameat(directory, "updatedat.tmp", directory, "updatedat") != 0) {
    return base::ErrnoStatus("rename", "updatedat.tmp");
  }
  return absl::OkStatus();
}

std::string IngestName(std::string_view ref) { return std::string(Digest::Of(ref).hex()); }

namespace {

// Removes the files of an open ingest directory, `ref` last: what a crash leaves can be found and
// aborted.
absl::Status EmptyIngest(int directory, const std::string& name) {
  const int scan = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (scan < 0) return base::ErrnoStatus("open", name);
  DIR* listing = ::fdopendir(scan);
  if (listing == nullptr) {
    ::close(scan);
    return base::ErrnoStatus("fdopendir", name);
  }
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view file = entry->d_name;
    if (file != "." && file != ".." && file != "ref") ::unlinkat(directory, entry->d_name, 0);
  }
  ::closedir(listing);
  ::unlinkat(directory, "ref", 0);
  return absl::OkStatus();
}

}  // namespace

absl::Status RemoveIngest(int parent, const std::string& name) {
  base::UniqueFd directory(
      ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory.valid()) return base::ErrnoStatus("open", name);
  // A writer that is just closing may put its time stamp back: a few rounds outlast it.
  for (int round = 0;; ++round) {
    RETURN_IF_ERROR(EmptyIngest(directory.get(), name));
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) break;
    if (errno != ENOTEMPTY || round == 3) return base::ErrnoStatus("rmdir", name);
  }
  return absl::OkStatus();
}

}  // namespace ctrd::content
