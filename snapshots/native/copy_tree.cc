// SPDX-License-Identifier: Apache-2.0
#include "snapshots/native/copy_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "snapshots/native/copy_data.h"

namespace ctrd::snapshots {
namespace {

// One entry of a directory on its way, seen from both sides.
struct Entry {
  int from;  // The directory it is in, …
  int to;    // … and the one it goes to.
  std::string name;
  std::string path;  // Below the root, for messages and hard links.
  struct stat info;
};

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// The name of an entry for calls that take no directory descriptor.
std::string LinkTo(int directory, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", directory, name);
}

// Failures are ignored: not every file system takes every attribute.
void CopyAttributes(const Entry& entry) {
  const std::string from = LinkTo(entry.from, entry.name), to = LinkTo(entry.to, entry.name);
  std::vector<char> names(XATTR_LIST_MAX);
  const ssize_t length = ::llistxattr(from.c_str(), names.data(), names.size());
  if (length <= 0) return;
  std::vector<char> value(XATTR_SIZE_MAX);
  for (const char* name = names.data(); name < names.data() + length;
       name += std::string_view(name).size() + 1) {
    const ssize_t size = ::lgetxattr(from.c_str(), name, value.data(), value.size());
    if (size >= 0) (void)::lsetxattr(to.c_str(), name, value.data(), size, 0);
  }
}

absl::Status SetTimes(const Entry& entry) {
  const std::array<timespec, 2> times = {entry.info.st_atim, entry.info.st_mtim};
  if (::utimensat(entry.to, entry.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return base::ErrnoStatus("set times of", entry.path);
  }
  return absl::OkStatus();
}

// In this order: a change of the owner takes away capabilities and bits of the mode.
absl::Status CopyMetadata(const Entry& entry) {
  if (::fchownat(entry.to, entry.name.c_str(), entry.info.st_uid, entry.info.st_gid,
                 AT_SYMLINK_NOFOLLOW) != 0) {
    return base::ErrnoStatus("chown", entry.path);
  }
  CopyAttributes(entry);
  if (!S_ISLNK(entry.info.st_mode) &&
      ::fchmodat(entry.to, entry.name.c_str(), entry.info.st_mode & 07777, 0) != 0) {
    return base::ErrnoStatus("chmod", entry.path);
  }
  return SetTimes(entry);
}

absl::Status CopyFile(const Entry& entry) {
  const base::UniqueFd from(
      ::openat(entry.from, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!from.valid()) return base::ErrnoStatus("open", entry.path);
  const base::UniqueFd to(::openat(entry.to, entry.name.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!to.valid()) return base::ErrnoStatus("create", entry.path);
  return CopyData(from.get(), to.get(), entry.info.st_size, entry.path);
}

absl::Status CopyLink(const Entry& entry) {
  std::array<char, PATH_MAX + 1> target = {};
  const ssize_t length =
      ::readlinkat(entry.from, entry.name.c_str(), target.data(), target.size() - 1);
  if (length < 0) return base::ErrnoStatus("readlink", entry.path);
  if (::symlinkat(target.data(), entry.to, entry.name.c_str()) != 0) {
    return base::ErrnoStatus("symlink", entry.path);
  }
  return absl::OkStatus();
}

absl::Status CopySpecial(const Entry& entry) {
  if (::mknodat(entry.to, entry.name.c_str(), (entry.info.st_mode & S_IFMT) | 0600,
                entry.info.st_rdev) != 0) {
    return base::ErrnoStatus("mknod", entry.path);
  }
  return absl::OkStatus();
}

class TreeCopier {
 public:
  TreeCopier(base::UniqueFd from, base::UniqueFd to) : from_(std::move(from)), to_(std::move(to)) {}

  absl::Status Run();

 private:
  absl::Status CopyDirectory(const std::string& path);
  absl::Status CopyEntry(Entry& entry);
  // Whether the file was copied before, under another name.
  absl::StatusOr<bool> LinkToCopy(const Entry& entry);

  const base::UniqueFd from_;
  const base::UniqueFd to_;
  std::vector<std::string> todo_ = {"."};                         // Directories, below the roots.
  std::vector<std::pair<std::string, struct stat>> directories_;  // In the order they were made.
  std::map<std::pair<dev_t, ino_t>, std::string> copies_;         // Of files with several names.
};

absl::StatusOr<base::UniqueFd> OpenDirectory(int root, const std::string& path) {
  return base::OpenInRoot(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

absl::StatusOr<bool> TreeCopier::LinkToCopy(const Entry& entry) {
  if (entry.info.st_nlink < 2) return false;
  const auto [copy, is_first] =
      copies_.emplace(std::pair(entry.info.st_dev, entry.info.st_ino), entry.path);
  if (is_first) return false;
  if (::linkat(to_.get(), copy->second.c_str(), entry.to, entry.name.c_str(), 0) != 0) {
    return base::ErrnoStatus("link", entry.path);
  }
  return true;
}

absl::Status TreeCopier::CopyEntry(Entry& entry) {
  if (::fstatat(entry.from, entry.name.c_str(), &entry.info, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::ErrnoStatus("stat", entry.path);
  }
  const mode_t kind = entry.info.st_mode & S_IFMT;
  if (kind == S_IFDIR) {
    if (::mkdirat(entry.to, entry.name.c_str(), 0700) != 0) {
      return base::ErrnoStatus("mkdir", entry.path);
    }
    todo_.push_back(entry.path);
    directories_.emplace_back(entry.path, entry.info);
    return CopyMetadata(entry);
  }
  ASSIGN_OR_RETURN(const bool linked, LinkToCopy(entry));
  if (linked) return absl::OkStatus();
  RETURN_IF_ERROR(kind == S_IFREG   ? CopyFile(entry)
                  : kind == S_IFLNK ? CopyLink(entry)
                                    : CopySpecial(entry));
  return CopyMetadata(entry);
}

absl::Status TreeCopier::CopyDirectory(const std::string& path) {
  ASSIGN_OR_RETURN(base::UniqueFd from, OpenDirectory(from_.get(), path));
  ASSIGN_OR_RETURN(const base::UniqueFd to, OpenDirectory(to_.get(), path));
  const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(from.get()));
  if (stream == nullptr) return base::ErrnoStatus("read directory", path);
  const int from_fd = from.Release();  // The stream closes it.
  while (true) {
    errno = 0;
    const dirent* next = ::readdir(stream.get());
    if (next == nullptr) {
      return errno == 0 ? absl::OkStatus() : base::ErrnoStatus("read directory", path);
    }
    const std::string name = next->d_name;
    if (name == "." || name == "..") continue;
    Entry entry{
        .from = from_fd, .to = to.get(), .name = name, .path = path + "/" + name, .info = {}};
    RETURN_IF_ERROR(CopyEntry(entry));
  }
}

absl::Status TreeCopier::Run() {
  while (!todo_.empty()) {
    const std::string path = std::move(todo_.back());
    todo_.pop_back();
    RETURN_IF_ERROR(CopyDirectory(path));
  }
  // Making entries has changed the times of the directories they are in.
  for (const auto& [path, info] : directories_) {
    RETURN_IF_ERROR(SetTimes({from_.get(), to_.get(), path, path, info}));
  }
  Entry root{from_.get(), to_.get(), ".", ".", {}};
  if (::fstat(from_.get(), &root.info) != 0) return base::ErrnoStatus("stat", ".");
  return CopyMetadata(root);
}

}  // namespace

absl::Status CopyTree(const std::string& source, const std::string& destination) {
  const std::string context = fmt::format("copy '{}'", source);
  auto from = base::Open(source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!from.ok()) return base::Annotate(from.status(), context);
  if (::mkdir(destination.c_str(), 0700) != 0) return base::ErrnoStatus("mkdir", destination);
  ASSIGN_OR_RETURN(base::UniqueFd to, base::Open(destination, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return base::Annotate(TreeCopier(*std::move(from), std::move(to)).Run(), context);
}

}  // namespace ctrd::snapshots
