// SPDX-License-Identifier: Apache-2.0
#include "images/archive/tree_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "base/status.h"

namespace ctrd::archive {
namespace {

constexpr int kLinkLimit = 255;
// Deeper than any path can name; links can build such trees all the same.
constexpr int kDepthLimit = 2100;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// The components of `path` in front of those in `rest`; both in reverse order, the next one last.
void PushComponents(std::vector<std::string>& rest, std::string_view path) {
  const size_t old_size = rest.size();
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") rest.emplace_back(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  std::reverse(rest.begin() + static_cast<std::ptrdiff_t>(old_size), rest.end());
}

// Walks from the root to a directory, one component at a time on descriptors, making what is
// missing. Slow and sure: used when openat2 did not find the way.
class MakingWalk {
 public:
  MakingWalk(int root, const TreeRoot::MadeDirectory& made) : root_(root), made_(made) {}

  absl::StatusOr<base::UniqueFd> To(const std::string& name) {
    PushComponents(rest_, name);
    while (!rest_.empty()) RETURN_IF_ERROR(Step());
    if (!stack_.empty()) return std::move(stack_.back());
    base::UniqueFd root(::openat(root_, ".", kDirectoryFlags));
    if (!root.valid()) return base::ErrnoStatus("open", "/");
    return root;
  }

 private:
  int here() const { return stack_.empty() ? root_ : stack_.back().get(); }

  void Up() {
    if (stack_.empty()) return;  // The root's parent is the root.
    stack_.pop_back();
    names_.pop_back();
  }

  std::string NameOf(const std::string& component) const {
    std::string name;
    for (const std::string& part : names_) name += part + "/";
    return name + component;
  }

  absl::Status Step() {
    const std::string component = std::move(rest_.back());
    rest_.pop_back();
    if (component == "..") {
      Up();
      return absl::OkStatus();
    }
    base::UniqueFd next(::openat(here(), component.c_str(), kDirectoryFlags));
    if (next.valid()) return Enter(std::move(next), component);
    if (errno == ENOENT) return MakeOrClean(component);
    // ELOOP or ENOTDIR: a link, or something that is no directory.
    if (errno != ELOOP && errno != ENOTDIR) return base::ErrnoStatus("open", NameOf(component));
    return Follow(component);
  }

  absl::Status Enter(base::UniqueFd directory, const std::string& component) {
    if (stack_.size() >= kDepthLimit) return base::ErrnoStatus(ENAMETOOLONG, "open", component);
    stack_.push_back(std::move(directory));
    names_.push_back(component);
    return absl::OkStatus();
  }

  absl::Status Follow(const std::string& component) {
    char target[PATH_MAX];
    const ssize_t length = ::readlinkat(here(), component.c_str(), target, sizeof(target));
    if (length < 0) {
      if (errno == EINVAL) errno = ENOTDIR;  // No link.
      return base::ErrnoStatus("mkdir", NameOf(component));
    }
    if (++links_ > kLinkLimit) return base::Unknown("too many links");
    const std::string_view text(target, static_cast<size_t>(length));
    if (text.starts_with('/')) {
      stack_.clear();
      names_.clear();
    }
    PushComponents(rest_, text);
    return absl::OkStatus();
  }

  // Behind a missing component ".." is taken by name: nothing is made only to be left again.
  absl::Status MakeOrClean(const std::string& component) {
    if (std::find(rest_.begin(), rest_.end(), "..") != rest_.end()) {
      std::vector<std::string> clean = {component};
      for (; !rest_.empty(); rest_.pop_back()) {
        if (rest_.back() != "..") {
          clean.push_back(std::move(rest_.back()));
        } else if (!clean.empty()) {
          clean.pop_back();
        } else {
          Up();
        }
      }
      rest_.assign(clean.rbegin(), clean.rend());
      return absl::OkStatus();
    }
    if (::mkdirat(here(), component.c_str(), 0755) != 0) {
      return base::ErrnoStatus("mkdir", NameOf(component));
    }
    base::UniqueFd next(::openat(here(), component.c_str(), kDirectoryFlags));
    if (!next.valid()) return base::ErrnoStatus("open", NameOf(component));
    if (::fchmod(next.get(), 0755) != 0) return base::ErrnoStatus("chmod", NameOf(component));
    if (made_) RETURN_IF_ERROR(made_(next.get(), NameOf(component)));
    return Enter(std::move(next), component);
  }

  int root_;
  const TreeRoot::MadeDirectory& made_;
  std::vector<base::UniqueFd> stack_;  // Below the root, down to where we are.
  std::vector<std::string> names_;     // Of what is on the stack.
  std::vector<std::string> rest_;      // Components to go, the next one last.
  int links_ = 0;
};

absl::Status RemoveAt(int parent, const std::string& base, int depth);

// Empties an open directory, with one descriptor per level.
absl::Status EmptyDirectory(base::UniqueFd directory, int depth) {
  DIR* listing = ::fdopendir(directory.get());
  if (listing == nullptr) return base::ErrnoStatus("fdopendir", "");
  const int fd = directory.Release();  // Now the listing's.
  absl::Status status;
  while (status.ok()) {
    errno = 0;
    const dirent* entry = ::readdir(listing);
    if (entry == nullptr) {
      if (errno != 0) status = base::ErrnoStatus("readdir", "");
      break;
    }
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (entry->d_type != DT_DIR && ::unlinkat(fd, name.c_str(), 0) == 0) continue;
    status = RemoveAt(fd, name, depth + 1);
  }
  ::closedir(listing);
  return status;
}

// Removes whatever `base` is.
absl::Status RemoveAt(int parent, const std::string& base, int depth) {
  if (::unlinkat(parent, base.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) return base::ErrnoStatus("unlink", base);
  if (depth > kDepthLimit) return base::ErrnoStatus(ENAMETOOLONG, "unlink", base);
  // More than one round where a file system loses its place in a directory that shrinks.
  for (int round = 0; ::unlinkat(parent, base.c_str(), AT_REMOVEDIR) != 0; ++round) {
    if ((errno != ENOTEMPTY && errno != EEXIST) || round == 3) {
      return base::ErrnoStatus("rmdir", base);
    }
    base::UniqueFd directory(::openat(parent, base.c_str(), kDirectoryFlags));
    if (!directory.valid()) return base::ErrnoStatus("open", base);
    RETURN_IF_ERROR(EmptyDirectory(std::move(directory), depth));
  }
  return absl::OkStatus();
}

}  // namespace

std::string CleanName(std::string_view name) {
  std::vector<std::string_view> parts;
  while (!name.empty()) {
    const size_t slash = std::min(name.find('/'), name.size());
    const std::string_view part = name.substr(0, slash);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    name.remove_prefix(std::min(slash + 1, name.size()));
  }
  std::string clean;
  for (const std::string_view part : parts) {
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

SplitName::SplitName(const std::string& clean) {
  const size_t slash = clean.rfind('/');
  if (slash != std::string::npos) parent = clean.substr(0, slash);
  base = slash == std::string::npos ? clean : clean.substr(slash + 1);
}

base::UniqueFd OpenInTree(int root, const std::string& name, int flags) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const char* path = name.empty() ? "." : name.c_str();
  while (true) {
    const long fd = ::syscall(SYS_openat2, root, path, &how, sizeof(how));
    // EAGAIN: a rename elsewhere made a ".." uncertain; the kernel asks to try again.
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) return base::UniqueFd(static_cast<int>(fd));
  }
}

absl::StatusOr<int> TreeRoot::ExistingDirectory(const std::string& name) {
  if (name.empty()) return root_;
  if (Cached(name)) return cached_.get();
  base::UniqueFd found = OpenInTree(root_, name, O_RDONLY | O_DIRECTORY);
  if (!found.valid()) return base::ErrnoStatus("open", name);
  Remember(name, std::move(found));
  return cached_.get();
}

absl::StatusOr<int> TreeRoot::Directory(const std::string& name, const MadeDirectory& made) {
  absl::StatusOr<int> existing = ExistingDirectory(name);
  // The walk makes what is missing, follows more links than the kernel, and words other failures.
  if (existing.ok() || errno == ENAMETOOLONG) return existing;
  ASSIGN_OR_RETURN(base::UniqueFd directory, Make(name, made));
  Remember(name, std::move(directory));
  return cached_.get();
}

absl::StatusOr<base::UniqueFd> TreeRoot::Make(const std::string& name, const MadeDirectory& made) {
  return MakingWalk(root_, made).To(name);
}

void TreeRoot::Remember(const std::string& name, base::UniqueFd directory) {
  cached_ = std::move(directory);
  cached_name_ = name;
}

absl::Status TreeRoot::Remove(int directory, const std::string& base) {
  // `directory` may be the cached one, which the caller goes on using: it was resolved before what
  // is removed here, so it stays right for this entry. For the next one it is looked up again.
  cached_name_ = "/";  // No clean name.
  return RemoveAt(directory, base, 0);
}

}  // namespace ctrd::archive
