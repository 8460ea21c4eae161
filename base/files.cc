// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/open_beneath.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

constexpr size_t kReadChunkBytes = 64 << 10;

absl::Status WriteSynced(int fd, std::string_view data, mode_t mode, const std::string& path,
                         Durability durability) {
  RETURN_IF_ERROR(WriteAll(fd, data, path));
  // The umask took its share when the file was made.
  if (::fchmod(fd, mode) != 0) return ErrnoStatus("chmod", path);
  if (durability == Durability::kSynced && ::fsync(fd) != 0) return ErrnoStatus("fsync", path);
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::StatusOr<UniqueFd> OpenResolved(int directory, const std::string& path, int flags,
                                      mode_t mode, uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  // The kernel refuses a mode where nothing can be created.
  how.mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = resolve;
  long fd;
  do {
    fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how));
    // EAGAIN: something was renamed while "..", resolved safely, was being looked up.
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd < 0) return ErrnoStatus("open", path);
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace

absl::StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoStatus("open", path);
  return UniqueFd(fd);
}

absl::StatusOr<UniqueFd> OpenInRoot(int directory, const std::string& path, int flags,
                                    mode_t mode) {
  return OpenResolved(directory, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

absl::StatusOr<UniqueFd> OpenBeneath(int directory, const std::string& path, int flags,
                                     mode_t mode) {
  return OpenResolved(directory, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY));
  return ReadAll(fd.get(), path, limit_bytes);
}

absl::StatusOr<std::string> ReadAll(int fd, std::string_view name, size_t limit_bytes) {
  std::string data;
  struct stat info = {};
  size_t chunk = kReadChunkBytes;
  const bool sized = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
  // Most files are small, and a large block of memory is not for nothing. The one byte more is for
  // the read that finds the end.
  if (sized) chunk = std::min<size_t>(info.st_size, limit_bytes) + 1;
  while (true) {
    const size_t old_size = data.size();
    // One byte past the limit is enough to know that there is more.
    const size_t want = std::min(chunk, limit_bytes - old_size + 1);
    data.resize(old_size + want);
    const ssize_t got = ::read(fd, data.data() + old_size, want);
    data.resize(old_size + (got > 0 ? got : 0));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read", name);
    if (got == 0) return data;
    const bool short_read = static_cast<size_t>(got) < want;
    chunk = sized && short_read ? want - static_cast<size_t>(got) : kReadChunkBytes;
    if (data.size() > limit_bytes) {
      return absl::ResourceExhaustedError(
          ToAbsl(fmt::format("read '{}': more than {} bytes", name, limit_bytes)));
    }
  }
}

absl::Status WriteAll(int fd, std::string_view data, std::string_view name) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus("write", name);
    data.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view data, mode_t mode,
                                 Durability durability) {
  std::string temporary = path + ".tmp-XXXXXX";
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("create", temporary);
  absl::Status status = WriteSynced(fd.get(), data, mode, temporary, durability);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus("rename", path);
  }
  if (!status.ok()) {
    (void)::unlink(temporary.c_str());  // The first error is the one that matters.
    return status;
  }
  return durability == Durability::kSynced ? SyncDirectory(ParentOf(path)) : absl::OkStatus();
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  if (path.empty()) return ErrnoStatus(ENOENT, "mkdir", path);
  for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    const std::string parent = path.substr(0, end);
    if (::mkdir(parent.c_str(), mode) == 0) {
      if (::chmod(parent.c_str(), mode) != 0) return ErrnoStatus("chmod", parent);
    } else if (errno != EEXIST) {
      return ErrnoStatus("mkdir", parent);
    }
  }
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return ErrnoStatus("mkdir", path);
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY));
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat", path);
  if ((info.st_mode & 07777) != mode && ::fchmod(fd.get(), mode) != 0) {
    return ErrnoStatus("chmod", path);
  }
  return absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY));
  return ::fsync(fd.get()) == 0 ? absl::OkStatus() : ErrnoStatus("fsync", path);
}

bool Exists(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0;
}

absl::StatusOr<std::string> MakeTempDirectory(const std::string& parent, std::string_view prefix) {
  std::string path = fmt::format("{}/{}XXXXXX", parent, prefix);
  if (::mkdtemp(path.data()) == nullptr) return ErrnoStatus("mkdir", path);
  return path;
}

}  // namespace ctrd::base
