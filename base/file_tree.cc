// SPDX-License-Identifier: Apache-2.0

// The part of base/files.h that walks trees. A walk keeps a list of directories still to visit
// instead of a stack of open ones: a tree may be deeper than a process may have descriptors, and
// deeper than a path may be long.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "base/files.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

// A directory of the walk: `path` from an open ancestor, short enough for one system call.
struct Place {
  std::shared_ptr<const UniqueFd> ancestor;
  std::string path;
  bool emptied = false;  // RemoveTree only: its entries are gone, it is next.
};
constexpr size_t kLongestPath = 2048;

// Neither symbolic links nor mount points are passed.
absl::StatusOr<UniqueFd> OpenPlain(int directory, const std::string& path) {
  open_how how = {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV | RESOLVE_BENEATH;
  long fd;
  do {
    fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd < 0) return ErrnoStatus("open", path);
  return UniqueFd(static_cast<int>(fd));
}

// The place of `name` in `parent`, of which `directory` is an open descriptor.
absl::StatusOr<Place> Below(const Place& parent, int directory, std::string_view name) {
  if (parent.path.size() + name.size() < kLongestPath) {
    return Place{parent.ancestor, fmt::format("{}/{}", parent.path, name)};
  }
  ASSIGN_OR_RETURN(UniqueFd ancestor, OpenPlain(directory, "."));
  return Place{std::make_shared<const UniqueFd>(std::move(ancestor)), fmt::format("./{}", name)};
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using DirectoryStream = std::unique_ptr<DIR, CloseDirectory>;

absl::StatusOr<DirectoryStream> StreamOf(UniqueFd fd, std::string_view name) {
  DirectoryStream stream(::fdopendir(fd.get()));
  if (stream == nullptr) return ErrnoStatus("read directory", name);
  (void)fd.Release();  // The stream closes it.
  return stream;
}

// The next entry but "." and "..", or nullptr at the end.
absl::StatusOr<const dirent*> NextEntry(DIR* stream, std::string_view name) {
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr && errno != 0) return ErrnoStatus("read directory", name);
    if (entry == nullptr) return nullptr;
    const std::string_view entry_name = entry->d_name;
    if (entry_name != "." && entry_name != "..") return entry;
  }
}

// Unlinks what is no directory in `place` and adds its directories to `todo`.
absl::Status RemoveEntries(const Place& place, UniqueFd directory, std::vector<Place>& todo) {
  ASSIGN_OR_RETURN(DirectoryStream stream, StreamOf(std::move(directory), place.path));
  const int fd = ::dirfd(stream.get());
  while (true) {
    ASSIGN_OR_RETURN(const dirent* entry, NextEntry(stream.get(), place.path));
    if (entry == nullptr) return absl::OkStatus();
    if (entry->d_type != DT_DIR) {
      if (::unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR) return ErrnoStatus("remove", entry->d_name);
    } else if (::unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0) {
      continue;  // Was empty: many directories are.
    }
    ASSIGN_OR_RETURN(Place below, Below(place, fd, entry->d_name));
    todo.push_back(std::move(below));
  }
}

absl::Status RemoveEmptied(const Place& place) {
  const size_t slash = place.path.find_last_of('/');
  ASSIGN_OR_RETURN(UniqueFd parent, OpenPlain(place.ancestor->get(), place.path.substr(0, slash)));
  const std::string name = place.path.substr(slash + 1);
  if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return ErrnoStatus("remove", name);
  }
  return absl::OkStatus();
}

absl::Status RemoveBelow(UniqueFd parent, const std::string& name) {
  std::vector<Place> todo;
  todo.push_back({std::make_shared<const UniqueFd>(std::move(parent)), "./" + name});
  while (!todo.empty()) {
    if (todo.back().emptied) {
      RETURN_IF_ERROR(RemoveEmptied(todo.back()));
      todo.pop_back();
      continue;
    }
    todo.back().emptied = true;
    const Place place = todo.back();
    auto directory = OpenPlain(place.ancestor->get(), place.path);
    if (absl::IsNotFound(directory.status())) continue;
    RETURN_IF_ERROR(directory.status());
    RETURN_IF_ERROR(RemoveEntries(place, *std::move(directory), todo));
  }
  return absl::OkStatus();
}

// Counts each inode once; only those with several links need remembering.
class Counter {
 public:
  void Add(const struct stat& info) {
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) &&
        !seen_.emplace(info.st_dev, info.st_ino).second) {
      return;
    }
    usage_.size_bytes += static_cast<int64_t>(info.st_blocks) * 512;
    usage_.inodes += 1;
  }
  const DiskUsage& usage() const { return usage_; }

 private:
  DiskUsage usage_;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

absl::Status MeasureEntries(const Place& place, UniqueFd directory, Counter& counter,
                            std::vector<Place>& todo) {
  ASSIGN_OR_RETURN(DirectoryStream stream, StreamOf(std::move(directory), place.path));
  const int fd = ::dirfd(stream.get());
  while (true) {
    ASSIGN_OR_RETURN(const dirent* entry, NextEntry(stream.get(), place.path));
    if (entry == nullptr) return absl::OkStatus();
    struct stat info;
    if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // The tree may be in use.
      return ErrnoStatus("stat", entry->d_name);
    }
    counter.Add(info);
    if (!S_ISDIR(info.st_mode)) continue;
    ASSIGN_OR_RETURN(Place below, Below(place, fd, entry->d_name));
    todo.push_back(std::move(below));
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(DirectoryStream stream, StreamOf(std::move(fd), path));
  std::vector<std::string> names;
  while (true) {
    ASSIGN_OR_RETURN(const dirent* entry, NextEntry(stream.get(), path));
    if (entry == nullptr) break;
    names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RemoveTree(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  if (::unlink(trimmed.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) {
    return absl::OkStatus();
  }
  if (errno != EISDIR && errno != EPERM) return ErrnoStatus("remove", path);
  const size_t slash = trimmed.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : trimmed.substr(0, slash);
  ASSIGN_OR_RETURN(UniqueFd directory, Open(parent, O_RDONLY | O_DIRECTORY));
  return Annotate(RemoveBelow(std::move(directory), trimmed.substr(slash + 1)),
                  fmt::format("remove '{}'", path));
}

absl::StatusOr<DiskUsage> MeasureTree(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd root, Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat info;
  if (::fstat(root.get(), &info) != 0) return ErrnoStatus("stat", path);
  Counter counter;
  counter.Add(info);
  std::vector<Place> todo;
  todo.push_back({std::make_shared<const UniqueFd>(std::move(root)), "."});
  while (!todo.empty()) {
    const Place place = std::move(todo.back());
    todo.pop_back();
    auto directory = OpenPlain(place.ancestor->get(), place.path);
    // Gone meanwhile, replaced by a link, or a mount point, whose content is not ours.
    if (!directory.ok() &&
        (errno == ENOENT || errno == ELOOP || errno == ENOTDIR || errno == EXDEV)) {
      continue;
    }
    RETURN_IF_ERROR(directory.status());
    RETURN_IF_ERROR(MeasureEntries(place, *std::move(directory), counter, todo));
  }
  return counter.usage();
}

}  // namespace ctrd::base
