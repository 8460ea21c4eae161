// SPDX-License-Identifier: Apache-2.0

// What one directory tree has that another has not.
// Source document: docs/api/diff.md (what counts as a change).
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/context.h"

namespace ctrd::diff {

enum class ChangeKind {
  kAdded,
  kModified,
  kDeleted,
  kUnmodified,  // Told of objects with several links only.
};

struct Change {
  ChangeKind kind;
  const std::string& path;  // Below the root, without leading slash.
  // Of the newer tree, where `name` in `directory` is; not for what was deleted.
  int directory;
  const std::string& name;
  const struct stat* file;
};

// Calls `visit` for the changes from `left` to `right`, both directories, in path order: names by
// their bytes, a directory before what is in it. Nothing is told below a deleted directory.
absl::Status FindChanges(const base::Context& context, int left, int right,
                         const std::function<absl::Status(const Change&)>& visit);

}  // namespace ctrd::diff
