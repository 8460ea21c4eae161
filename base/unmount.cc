// SPDX-License-Identifier: Apache-2.0

// The part of base/mount.h that takes mounts away.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/mount.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

constexpr size_t kMountInfoLimitBytes = 256 << 20;
// How long a busy mount is waited for before it is detached, to end with its last user.
constexpr absl::Duration kBusyPatience = absl::Milliseconds(500);
constexpr absl::Duration kBusyPause = absl::Milliseconds(10);
constexpr size_t kMostHidden = 64;  // Overlays on one another.

// `path` without links, except a link in its last part; "" if its directory does not exist.
absl::StatusOr<std::string> CanonicalPath(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const size_t slash = trimmed.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "." : trimmed.substr(0, slash + 1);
  char resolved[PATH_MAX];
  if (::realpath(parent.c_str(), resolved) == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return std::string();
    return ErrnoStatus("resolve", path);
  }
  const std::string name = trimmed.substr(slash + 1);
  if (name.empty()) return std::string(resolved);
  return fmt::format("{}/{}", std::string_view(resolved) == "/" ? "" : resolved, name);
}

// A field of mountinfo, where blanks and backslashes are octal.
std::string DecodeField(std::string_view field) {
  std::string plain;
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      plain += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                                 (field[i + 3] - '0'));
      i += 3;
    } else {
      plain += field[i];
    }
  }
  return plain;
}

// The mount points at and below `path`, in the order they were mounted.
absl::StatusOr<std::vector<std::string>> MountPointsAt(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string table,
                   ReadFile("/proc/thread-self/mountinfo", kMountInfoLimitBytes));
  std::vector<std::string> points;
  std::string_view rest = table;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    for (int field = 0; field < 4; ++field) {
      line.remove_prefix(std::min(line.size(), line.find(' ') + 1));
    }
    std::string point = DecodeField(line.substr(0, line.find(' ')));
    if (point == path || point.starts_with(path == "/" ? path : path + "/")) {
      points.push_back(std::move(point));
    }
  }
  return points;
}

// An empty directory on which nothing is mounted has nothing mounted below it either: that saves
// reading a table that is long where there are many containers.
bool HasNoMounts(const std::string& path) {
  struct statx info = {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &info) != 0) return false;
  if ((info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0) return false;  // Before Linux 5.8.
  if ((info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 || !S_ISDIR(info.stx_mode)) return false;
  const auto names = ListDirectory(path);
  return names.ok() && names->empty();
}

bool IsOverlay(const UniqueFd& fd) {
  struct statfs info = {};
  return ::fstatfs(fd.get(), &info) == 0 && info.f_type == OVERLAYFS_SUPER_MAGIC;
}

absl::Status UnmountOne(const std::string& point) {
  const absl::Time deadline = absl::Now() + kBusyPatience;
  while (::umount2(point.c_str(), UMOUNT_NOFOLLOW) != 0) {
    if (errno == EINTR) continue;
    // Not (any more) a mount point, or hidden below another one: the table tells next time.
    if (errno == EINVAL || errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) return ErrnoStatus("unmount", point);
    if (absl::Now() < deadline) {
      absl::SleepFor(kBusyPause);
      continue;
    }
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0) {
      return ErrnoStatus("unmount", point);
    }
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

std::string EscapeColons(std::string_view path) {
  std::string escaped;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == ':' && (i == 0 || path[i - 1] != '\\')) escaped += '\\';
    escaped += path[i];
  }
  return escaped;
}

std::vector<std::string> ReadOnlyOverlay(const std::vector<std::string>& options) {
  constexpr std::string_view kUpper = "upperdir=", kLower = "lowerdir=";
  std::string upper;
  std::vector<std::string> kept;
  for (const std::string& option : options) {
    const std::string_view view = option;
    if (view.starts_with(kUpper)) {
      upper = EscapeColons(view.substr(kUpper.size()));
    } else if (!view.starts_with("workdir=") && !view.starts_with("uidmap=") &&
               !view.starts_with("gidmap=")) {
      kept.push_back(option);
    }
  }
  if (upper.empty()) return kept;
  for (std::string& option : kept) {
    if (!std::string_view(option).starts_with(kLower)) continue;
    option = fmt::format("{}{}:{}", kLower, upper, option.substr(kLower.size()));
  }
  return kept;
}

constexpr std::string_view kTempPrefix = "containerd-mount";

}  // namespace

absl::Status UnmountAll(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string canonical, CanonicalPath(path));
  if (canonical.empty() || HasNoMounts(canonical)) return absl::OkStatus();
  size_t before = SIZE_MAX;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<std::string> points, MountPointsAt(canonical));
    if (points.empty()) return absl::OkStatus();
    // Detaching a mount takes those below along, so each round has fewer; if not, somebody mounts
    // as fast as we unmount.
    if (points.size() >= before) return ErrnoStatus(EBUSY, "unmount", path);
    before = points.size();
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
      RETURN_IF_ERROR(UnmountOne(*point));
    }
  }
}

absl::StatusOr<std::vector<UniqueFd>> UnmountAllButOverlays(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string canonical, CanonicalPath(path));
  std::vector<UniqueFd> hidden;
  while (hidden.size() < kMostHidden) {
    UniqueFd top(::open(canonical.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!top.valid() || !IsOverlay(top)) break;
    // A directory of an overlay that is mounted further up is no mount point.
    if (::umount2(canonical.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0) break;
    hidden.push_back(std::move(top));
  }
  RETURN_IF_ERROR(UnmountAll(path));
  return hidden;
}

Mounts ReadOnly(const Mounts& mounts) {
  Mounts result = mounts;
  for (Mount& mount : result) {
    if (mount.type == "overlay") {
      mount.options = ReadOnlyOverlay(mount.options);
      continue;
    }
    std::erase_if(mount.options, [](const std::string& o) { return o == "rw" || o == "ro"; });
    mount.options.push_back("ro");
  }
  return result;
}

Mounts ForTemporaryUse(const Mounts& mounts) {
  Mounts result = mounts;
  for (Mount& mount : result) {
    if (mount.type != "overlay") continue;
    std::erase_if(mount.options, [](const std::string& option) {
      return option == "volatile" || option == "fsync=volatile";
    });
  }
  return result;
}

absl::StatusOr<TempMount> TempMount::Create(const std::string& parent, const Mounts& mounts) {
  ASSIGN_OR_RETURN(std::string path, MakeTempDirectory(parent, kTempPrefix));
  TempMount mount(std::move(path));  // Removes the directory if mounting fails.
  RETURN_IF_ERROR(MountAll(ForTemporaryUse(mounts), mount.path()));
  return mount;
}

TempMount::~TempMount() { (void)Close(); }

absl::Status TempMount::Close() {
  if (path_.empty()) return absl::OkStatus();
  const std::string path = std::exchange(path_, "");
  RETURN_IF_ERROR(UnmountAll(path));
  return RemoveTree(path);  // Stops at mount points, so that it cannot empty what was mounted.
}

absl::Status RemoveLeftoverTempMounts(const std::string& parent) {
  if (!Exists(parent)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(parent));
  absl::Status first;
  for (const std::string& name : names) {
    if (!std::string_view(name).starts_with(kTempPrefix)) continue;
    const std::string path = fmt::format("{}/{}", parent, name);
    absl::Status status = UnmountAll(path);
    if (status.ok()) status = RemoveTree(path);
    first.Update(status);
  }
  return first;
}

}  // namespace ctrd::base
