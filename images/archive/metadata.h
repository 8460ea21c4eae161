// SPDX-License-Identifier: Apache-2.0

// Owner, extended attributes, mode and times of extracted objects. Internal to this folder.
#pragma once

#include <sys/stat.h>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "images/archive/tar_entry.h"

namespace ctrd::archive {

// How `name`, for messages, is reached: by an open descriptor, which may be O_PATH.
struct Object {
  int fd;
  const std::string& name;
  bool is_path_fd;  // O_PATH: the calls on descriptors do not work.
};

// The times an entry sets: the later of atime and mtime, then mtime, each within 1970 and 2262.
struct EntryTimes {
  explicit EntryTimes(const TarEntry& entry);
  timespec times[2];
};

absl::Status SetOwner(const Object& object, int64_t uid, int64_t gid);
// Extended attributes, leaving out `trusted.*` and what the file system does not know.
absl::Status SetXattrs(const Object& object, const std::map<std::string, std::string>& xattrs,
                       bool is_file_or_directory);
absl::Status SetMode(const Object& object, uint32_t mode);
absl::Status SetTimes(const Object& object, const EntryTimes& times);
// Owner, mode and extended attributes of `from` (but `trusted.*`) for the directory `to`.
absl::Status CopyUp(const Object& from, const struct stat& attributes, const Object& to);

}  // namespace ctrd::archive
