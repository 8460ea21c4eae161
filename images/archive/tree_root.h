// SPDX-License-Identifier: Apache-2.0

// TreeRoot: a directory tree that is being written from outside names, and the one place where such
// names become descriptors.
//
// Every name is taken as if the root were "/": absolute and relative symbolic links are followed
// inside, ".." stops at the root. The result is a descriptor of a directory below the root, on
// which the caller works with one single last component that is never followed.
//
// One resolved directory is remembered, because entries come directory by directory. That is safe
// because a path resolves through existing entries only: making new names cannot change where it
// leads. Removing or replacing one can, so whoever does either must call Forget; Remove does.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ctrd::archive {

// `name` as a path below "/", without leading slash, "." and "..": "" is the root itself.
std::string CleanName(std::string_view name);
// A clean name's directory and last component.
struct SplitName {
  explicit SplitName(const std::string& clean);
  std::string parent;
  std::string base;
};

class TreeRoot {
 public:
  // Called for each missing directory that Directory makes: the open directory and its name below
  // the root.
  using MadeDirectory = std::function<absl::Status(int directory, const std::string& name)>;

  // `root` is borrowed.
  explicit TreeRoot(int root) : root_(root) {}

  // The directory with the clean name `name`, borrowed until the next call. Missing ones on the way
  // are made, 0755, and reported to `made`.  ENOTDIR, "too many links".
  absl::StatusOr<int> Directory(const std::string& name, const MadeDirectory& made);
  // The same without making any.
  absl::StatusOr<int> ExistingDirectory(const std::string& name);
  // Tells that `directory`, which is no symbolic link, is what the clean `name` leads to.
  void Remember(const std::string& name, base::UniqueFd directory);
  void Forget() { cached_.Reset(); }
  // Removes `base` in `directory` and all below it; absent is fine. Follows nothing.
  absl::Status Remove(int directory, const std::string& base);

 private:
  absl::StatusOr<base::UniqueFd> Make(const std::string& name, const MadeDirectory& made);
  bool Cached(const std::string& name) const { return cached_.valid() && cached_name_ == name; }

  int root_;
  std::string cached_name_;
  base::UniqueFd cached_;
};

// Opens the clean `name` inside `root` as openat2(2) does with RESOLVE_IN_ROOT; errno on failure.
base::UniqueFd OpenInTree(int root, const std::string& name, int flags);

}  // namespace ctrd::archive
