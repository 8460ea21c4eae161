// SPDX-License-Identifier: Apache-2.0
#include "images/diff/layer_writer.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>

#include "base/status.h"
#include "base/unique_fd.h"
#include "images/archive/tree_root.h"

namespace ctrd::diff {
namespace {

using archive::TarEntry;
using archive::TarType;

constexpr size_t kBufferBytes = 256 << 10;
constexpr size_t kCapabilityBytes = 256;
constexpr char kCapability[] = "security.capability";

TarType TypeOf(mode_t mode) {
  if (S_ISDIR(mode)) return TarType::kDirectory;
  if (S_ISLNK(mode)) return TarType::kSymbolicLink;
  if (S_ISCHR(mode)) return TarType::kCharacterDevice;
  if (S_ISBLK(mode)) return TarType::kBlockDevice;
  if (S_ISFIFO(mode)) return TarType::kFifo;
  return TarType::kRegular;
}

}  // namespace

TarEntry LayerWriter::EntryFor(const std::string& path, const struct stat& file) const {
  TarEntry entry;
  entry.name = path;
  entry.type = TypeOf(file.st_mode);
  if (entry.type == TarType::kDirectory) entry.name += '/';
  if (entry.type == TarType::kRegular) entry.size_bytes = file.st_size;
  if (entry.type == TarType::kCharacterDevice || entry.type == TarType::kBlockDevice) {
    entry.device_major = ::major(file.st_rdev);
    entry.device_minor = ::minor(file.st_rdev);
  }
  entry.mode = file.st_mode & 07777;
  entry.uid = file.st_uid;
  entry.gid = file.st_gid;
  entry.mtime = {.tv_sec = file.st_mtim.tv_sec, .tv_nsec = 0};
  if (latest_.has_value() && absl::TimeFromTimespec(entry.mtime) > *latest_) {
    entry.mtime = {.tv_sec = absl::ToUnixSeconds(*latest_), .tv_nsec = 0};
  }
  return entry;
}

absl::Status LayerWriter::Add(const Change& change) {
  if (change.kind == ChangeKind::kDeleted) return AddDeleted(change.path);
  if (S_ISSOCK(change.file->st_mode)) return absl::OkStatus();
  if (S_ISDIR(change.file->st_mode) || change.file->st_nlink < 2) {
    return change.kind == ChangeKind::kUnmodified ? absl::OkStatus() : AddObject(change, {});
  }
  const Inode inode(change.file->st_dev, change.file->st_ino);
  if (const auto source = sources_.find(inode); source != sources_.end()) {
    // Also an unmodified name: it must go on sharing the file that was written anew.
    TarEntry link = EntryFor(change.path, *change.file);
    link.type = TarType::kHardLink;
    link.link = source->second;
    link.size_bytes = 0;
    RETURN_IF_ERROR(AddParents(change.path));
    return tar_.WriteHeader(link);
  }
  if (change.kind == ChangeKind::kUnmodified) {
    unchanged_[inode].push_back(change.path);
    return absl::OkStatus();
  }
  sources_[inode] = change.path;
  const auto others = unchanged_.extract(inode);
  return AddObject(change, others.empty() ? std::vector<std::string>() : others.mapped());
}

absl::Status LayerWriter::AddDeleted(const std::string& path) {
  const archive::SplitName split(path);
  RETURN_IF_ERROR(AddParents(path));
  const std::string prefix = split.parent.empty() ? "" : split.parent + "/";
  return tar_.WriteHeader({.name = prefix + ".wh." + split.base});
}

// Writes the directories above `path` that are not in the layer yet, outermost first.
absl::Status LayerWriter::AddParents(const std::string& path) {
  const archive::SplitName split(path);
  if (split.parent.empty() || written_directories_.contains(split.parent)) return absl::OkStatus();
  RETURN_IF_ERROR(AddParents(split.parent));
  const base::UniqueFd directory =
      archive::OpenInTree(root_, split.parent, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  struct stat file;
  if (!directory.valid() || ::fstat(directory.get(), &file) != 0) {
    return base::ErrnoStatus("stat", split.parent);
  }
  written_directories_.insert(split.parent);
  return tar_.WriteHeader(EntryFor(split.parent, file));
}

absl::Status LayerWriter::AddObject(const Change& change,
                                    const std::vector<std::string>& other_names) {
  RETURN_IF_ERROR(AddParents(change.path));
  TarEntry entry = EntryFor(change.path, *change.file);
  base::UniqueFd file;
  if (entry.type == TarType::kDirectory) written_directories_.insert(change.path);
  if (entry.type == TarType::kSymbolicLink) {
    char target[PATH_MAX];
    const ssize_t length =
        ::readlinkat(change.directory, change.name.c_str(), target, sizeof(target));
    if (length < 0) return base::ErrnoStatus("readlink", change.path);
    entry.link.assign(target, static_cast<size_t>(length));
  }
  if (entry.type == TarType::kRegular) {
    file.Reset(::openat(change.directory, change.name.c_str(),
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) return base::ErrnoStatus("open", change.path);
    char value[kCapabilityBytes];
    const ssize_t length = ::fgetxattr(file.get(), kCapability, value, sizeof(value));
    if (length > 0) entry.xattrs[kCapability] = std::string(value, static_cast<size_t>(length));
  }
  RETURN_IF_ERROR(tar_.WriteHeader(entry));
  if (file.valid()) RETURN_IF_ERROR(CopyData(file.get(), entry));
  TarEntry link = entry;
  link.type = TarType::kHardLink;
  link.link = change.path;
  link.size_bytes = 0;
  for (const std::string& name : other_names) {
    RETURN_IF_ERROR(AddParents(name));
    link.name = name;
    RETURN_IF_ERROR(tar_.WriteHeader(link));
  }
  return absl::OkStatus();
}

// As much as the header promised: the file may grow meanwhile, and must not shrink.
absl::Status LayerWriter::CopyData(int file, const TarEntry& entry) {
  std::vector<char> buffer(kBufferBytes);
  for (int64_t left = entry.size_bytes; left > 0;) {
    const auto part = static_cast<size_t>(std::min<int64_t>(left, kBufferBytes));
    const ssize_t count = ::read(file, buffer.data(), part);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus("read", entry.name);
    if (count == 0) return base::Unknown("read '{}': unexpected EOF", entry.name);
    RETURN_IF_ERROR(tar_.WriteData({buffer.data(), static_cast<size_t>(count)}));
    left -= count;
  }
  return absl::OkStatus();
}

}  // namespace ctrd::diff
