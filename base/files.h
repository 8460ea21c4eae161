// SPDX-License-Identifier: Apache-2.0

// Files and directories. Paths that hold bytes from outside go through OpenBeneath; what is read
// whole has a limit. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace ctrd::base {

// open(2) with O_CLOEXEC.
absl::StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0);
// openat2(2) below `directory`: neither "..", absolute links nor magic links lead out of it;
// symbolic links are followed inside (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS).
absl::StatusOr<UniqueFd> OpenInRoot(int directory, const std::string& path, int flags,
                                    mode_t mode = 0);

// The whole file.  kResourceExhausted if it holds more than `limit_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes = 16 << 20);
absl::StatusOr<std::string> ReadAll(int fd, std::string_view name, size_t limit_bytes = 16 << 20);
// All of `data` at the current offset.
absl::Status WriteAll(int fd, std::string_view data, std::string_view name);

enum class Durability { kNone, kSynced };
// Replaces `path` as a whole or not at all (temporary file, rename); kSynced: survives power loss.
absl::Status WriteFileAtomically(const std::string& path, std::string_view data, mode_t mode,
                                 Durability durability = Durability::kNone);

// Makes `path` and its parents. `mode` is what the last directory gets, whatever the umask, also if
// it was there already; parents that were missing get it too.
absl::Status MakeDirectories(const std::string& path, mode_t mode);
// Removes `path` and everything below it, not following links nor crossing into other file systems'
// mounts. Absent is fine.
absl::Status RemoveTree(const std::string& path);
absl::Status SyncDirectory(const std::string& path);
bool Exists(const std::string& path);                                             // lstat succeeds.
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);  // Names, sorted.
// A new directory "<prefix><random>" in `parent`, mode 0700; its path.
absl::StatusOr<std::string> MakeTempDirectory(const std::string& parent, std::string_view prefix);

struct DiskUsage {
  int64_t size_bytes = 0;  // Blocks of 512 bytes, each inode once.
  int64_t inodes = 0;
};
absl::StatusOr<DiskUsage> MeasureTree(const std::string& path);

}  // namespace ctrd::base
