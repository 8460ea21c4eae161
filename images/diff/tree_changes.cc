// SPDX-License-Identifier: Apache-2.0
#include "images/diff/tree_changes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ctrd::diff {
namespace {

constexpr int kDepthLimit = 2100;  // Deeper than any path can name.
constexpr size_t kBufferBytes = 64 << 10;
constexpr size_t kCapabilityBytes = 256;

base::UniqueFd OpenDirectoryAt(int parent, const char* name) {
  return base::UniqueFd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// O_NONBLOCK: what was a file a moment ago may be a fifo by now.
base::UniqueFd OpenFileAt(int parent, const std::string& name) {
  return base::UniqueFd(
      ::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

absl::StatusOr<std::vector<std::string>> SortedNames(int directory) {
  std::vector<std::string> names;
  if (directory < 0) return names;
  base::UniqueFd scan = OpenDirectoryAt(directory, ".");
  DIR* listing = scan.valid() ? ::fdopendir(scan.get()) : nullptr;
  if (listing == nullptr) return base::ErrnoStatus("opendir", ".");
  (void)scan.Release();  // The listing's now.
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(listing);
  std::sort(names.begin(), names.end());
  return names;
}

std::string CapabilityOf(int file) {
  char value[kCapabilityBytes];
  const ssize_t length = ::fgetxattr(file, "security.capability", value, sizeof(value));
  return length < 0 ? std::string() : std::string(value, static_cast<size_t>(length));
}

std::string LinkTarget(int directory, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t length = ::readlinkat(directory, name.c_str(), target, sizeof(target));
  return length < 0 ? std::string() : std::string(target, static_cast<size_t>(length));
}

class Walk {
 public:
  Walk(const base::Context& context, const std::function<absl::Status(const Change&)>& visit)
      : context_(context), visit_(visit) {}

  // Compares two directories; -1 for a left one that is not there.
  absl::Status Directories(int left, int right, const std::string& path, int depth) {
    RETURN_IF_ERROR(context_.Check());
    if (depth > kDepthLimit) return base::ErrnoStatus(ENAMETOOLONG, "opendir", path);
    ASSIGN_OR_RETURN(const auto left_names, SortedNames(left));
    ASSIGN_OR_RETURN(const auto right_names, SortedNames(right));
    auto old_name = left_names.begin();
    auto new_name = right_names.begin();
    while (old_name != left_names.end() || new_name != right_names.end()) {
      const bool only_left =
          new_name == right_names.end() || (old_name != left_names.end() && *old_name < *new_name);
      if (only_left) {
        const std::string child = path.empty() ? *old_name : path + "/" + *old_name;
        RETURN_IF_ERROR(visit_({ChangeKind::kDeleted, child, -1, *old_name, nullptr}));
        ++old_name;
        continue;
      }
      const bool both = old_name != left_names.end() && *old_name == *new_name;
      RETURN_IF_ERROR(Entry(both ? left : -1, right, path, *new_name, depth));
      if (both) ++old_name;
      ++new_name;
    }
    return absl::OkStatus();
  }

 private:
  // An object of the right tree; `left` is -1 if the left one has none of that name.
  absl::Status Entry(int left, int right, const std::string& path, const std::string& name,
                     int depth) {
    const std::string child = path.empty() ? name : path + "/" + name;
    struct stat new_file;
    struct stat old_file = {};
    if (::fstatat(right, name.c_str(), &new_file, AT_SYMLINK_NOFOLLOW) != 0) {
      return base::ErrnoStatus("stat", child);
    }
    if (left >= 0 && ::fstatat(left, name.c_str(), &old_file, AT_SYMLINK_NOFOLLOW) != 0) {
      return base::ErrnoStatus("stat", child);
    }
    ChangeKind kind = ChangeKind::kAdded;
    if (left >= 0) {
      ASSIGN_OR_RETURN(const bool same, Same(left, old_file, right, new_file, name));
      kind = same ? ChangeKind::kUnmodified : ChangeKind::kModified;
    }
    const bool is_directory = S_ISDIR(new_file.st_mode);
    if (kind != ChangeKind::kUnmodified || (!is_directory && new_file.st_nlink > 1)) {
      RETURN_IF_ERROR(visit_({kind, child, right, name, &new_file}));
    }
    if (!is_directory) return absl::OkStatus();
    const base::UniqueFd new_directory = OpenDirectoryAt(right, name.c_str());
    if (!new_directory.valid()) return base::ErrnoStatus("open", child);
    base::UniqueFd old_directory;
    if (left >= 0 && S_ISDIR(old_file.st_mode)) {
      old_directory = OpenDirectoryAt(left, name.c_str());
      if (!old_directory.valid()) return base::ErrnoStatus("open", child);
    }
    return Directories(old_directory.get(), new_directory.get(), child, depth + 1);
  }

  absl::StatusOr<bool> Same(int left, const struct stat& a, int right, const struct stat& b,
                            const std::string& name) {
    if (a.st_dev == b.st_dev && a.st_ino == b.st_ino) return true;
    if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid ||
        a.st_rdev != b.st_rdev) {
      return false;
    }
    if (S_ISDIR(a.st_mode)) return true;
    if (a.st_size != b.st_size || a.st_mtim.tv_sec != b.st_mtim.tv_sec) return false;
    const bool whole_seconds = a.st_mtim.tv_nsec == 0 && b.st_mtim.tv_nsec == 0;
    if (a.st_mtim.tv_nsec != b.st_mtim.tv_nsec) return false;
    if (S_ISLNK(a.st_mode)) {
      return !whole_seconds || LinkTarget(left, name) == LinkTarget(right, name);
    }
    if (!S_ISREG(a.st_mode)) return true;
    const base::UniqueFd old_file = OpenFileAt(left, name);
    const base::UniqueFd new_file = OpenFileAt(right, name);
    if (!old_file.valid() || !new_file.valid()) return base::ErrnoStatus("open", name);
    if (CapabilityOf(old_file.get()) != CapabilityOf(new_file.get())) return false;
    // Whole seconds may come from a tar that knew no fractions: they say nothing.
    return !whole_seconds || a.st_size == 0 ? true : SameContent(old_file.get(), new_file.get());
  }

  absl::StatusOr<bool> SameContent(int a, int b) {
    std::vector<char> left(kBufferBytes);
    std::vector<char> right(kBufferBytes);
    for (off_t offset = 0;;) {
      RETURN_IF_ERROR(context_.Check());
      const ssize_t count = ::pread(a, left.data(), left.size(), offset);
      if (count < 0) return base::ErrnoStatus("read", "file");
      if (count == 0) return true;  // Their sizes are equal.
      for (ssize_t filled = 0; filled < count;) {
        const ssize_t more =
            ::pread(b, right.data() + filled, static_cast<size_t>(count - filled), offset + filled);
        if (more < 0) return base::ErrnoStatus("read", "file");
        if (more == 0) return false;
        filled += more;
      }
      if (std::memcmp(left.data(), right.data(), static_cast<size_t>(count)) != 0) return false;
      offset += count;
    }
  }

  const base::Context& context_;
  const std::function<absl::Status(const Change&)>& visit_;
};

}  // namespace

absl::Status FindChanges(const base::Context& context, int left, int right,
                         const std::function<absl::Status(const Change&)>& visit) {
  return Walk(context, visit).Directories(left, right, "", 0);
}

}  // namespace ctrd::diff
