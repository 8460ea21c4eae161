// SPDX-License-Identifier: Apache-2.0
#include "images/archive/metadata.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <limits>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status.h"

namespace ctrd::archive {
namespace {

constexpr size_t kXattrListLimit = 64 << 10;

// A path that leads to exactly what `fd` is, for calls that do not take an O_PATH descriptor. It is
// a magic link: the kernel jumps to the object and follows nothing from there.
std::string PathOf(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

timespec Bounded(const timespec& time) {
  constexpr int64_t kLastSecond = std::numeric_limits<int64_t>::max() / 1'000'000'000;  // In 2262.
  if (time.tv_sec < 0 || time.tv_sec >= kLastSecond) return {};
  return time;
}

bool Before(const timespec& a, const timespec& b) {
  return std::pair(a.tv_sec, a.tv_nsec) < std::pair(b.tv_sec, b.tv_nsec);
}

absl::Status SetXattr(const Object& object, const std::string& key, const std::string& value,
                      bool is_file_or_directory) {
  const int result =
      object.is_path_fd
          ? ::setxattr(PathOf(object.fd).c_str(), key.c_str(), value.data(), value.size(), 0)
          : ::fsetxattr(object.fd, key.c_str(), value.data(), value.size(), 0);
  if (result == 0) return absl::OkStatus();
  const bool user_on_special = errno == EPERM && key.starts_with("user.") && !is_file_or_directory;
  if (errno == ENOTSUP || user_on_special) {
    base::LogWarn("extended attribute is not supported, ignoring",
                  {{"name", object.name}, {"key", key}});
    return absl::OkStatus();
  }
  return base::ErrnoStatus("setxattr " + key, object.name);
}

}  // namespace

EntryTimes::EntryTimes(const TarEntry& entry) {
  times[0] = Bounded(Before(entry.atime, entry.mtime) ? entry.mtime : entry.atime);
  times[1] = Bounded(entry.mtime);
}

absl::Status SetOwner(const Object& object, int64_t uid, int64_t gid) {
  // A number that does not fit must not become another user by losing its upper bits.
  constexpr int64_t kLast = std::numeric_limits<uint32_t>::max() - int64_t{1};
  if (uid < 0 || uid > kLast || gid < 0 || gid > kLast) {
    return base::Unknown("lchown '{}': owner {}:{} is out of range", object.name, uid, gid);
  }
  if (::fchownat(object.fd, "", static_cast<uid_t>(uid), static_cast<gid_t>(gid),
                 AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0) {
    return absl::OkStatus();
  }
  absl::Status status = base::ErrnoStatus("lchown", object.name);
  if (errno != EINVAL) return status;
  return base::Unknown(
      "{} (Hint: try increasing the number of subordinate IDs in /etc/subuid and /etc/subgid)",
      base::MessageOf(status));
}

absl::Status SetXattrs(const Object& object, const std::map<std::string, std::string>& xattrs,
                       bool is_file_or_directory) {
  for (const auto& [key, value] : xattrs) {
    if (key.starts_with("trusted.")) {
      base::LogWarn("extended attribute is not allowed in layers, ignoring",
                    {{"name", object.name}, {"key", key}});
      continue;
    }
    RETURN_IF_ERROR(SetXattr(object, key, value, is_file_or_directory));
  }
  return absl::OkStatus();
}

absl::Status SetMode(const Object& object, uint32_t mode) {
  const int result =
      object.is_path_fd ? ::chmod(PathOf(object.fd).c_str(), mode) : ::fchmod(object.fd, mode);
  return result == 0 ? absl::OkStatus() : base::ErrnoStatus("chmod", object.name);
}

absl::Status SetTimes(const Object& object, const EntryTimes& times) {
  const int result = object.is_path_fd ? ::utimensat(object.fd, "", times.times, AT_EMPTY_PATH)
                                       : ::futimens(object.fd, times.times);
  return result == 0 ? absl::OkStatus() : base::ErrnoStatus("utimensat", object.name);
}

absl::Status CopyUp(const Object& from, const struct stat& attributes, const Object& to) {
  RETURN_IF_ERROR(SetOwner(to, attributes.st_uid, attributes.st_gid));
  std::vector<char> keys(kXattrListLimit);
  const ssize_t length = ::flistxattr(from.fd, keys.data(), keys.size());
  if (length < 0 && errno != ENOTSUP) return base::ErrnoStatus("listxattr", from.name);
  std::map<std::string, std::string> xattrs;
  for (ssize_t at = 0; at < length;) {
    const std::string key(keys.data() + at);
    at += static_cast<ssize_t>(key.size()) + 1;
    if (key.starts_with("trusted.")) continue;
    std::string value(kXattrListLimit, '\0');
    const ssize_t size = ::fgetxattr(from.fd, key.c_str(), value.data(), value.size());
    if (size < 0) return base::ErrnoStatus("getxattr " + key, from.name);
    value.resize(static_cast<size_t>(size));
    xattrs.emplace(key, std::move(value));
  }
  RETURN_IF_ERROR(SetXattrs(to, xattrs, true));
  return SetMode(to, attributes.st_mode & 07777);
}

}  // namespace ctrd::archive
