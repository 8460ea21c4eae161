// SPDX-License-Identifier: Apache-2.0
#include "snapshots/storage/snapshot_directories.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "base/files.h"
#include "base/identifiers.h"
#include "base/status.h"

namespace ctrd::snapshots {
namespace {

bool ReadPart(std::string_view& text, uint32_t& number, char end) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(stop - text.data());
  if (text.empty()) return end == ',';  // The last part of the last entry.
  if (text.front() != end) return false;
  text.remove_prefix(1);
  return true;
}

// What "<container>:<host>:<size>[,…]" makes of the container's 0.
absl::StatusOr<uint32_t> HostRoot(std::string_view map) {
  std::string_view rest = map;
  while (!rest.empty()) {
    uint32_t container = 0, host = 0, size = 0;
    if (!ReadPart(rest, container, ':') || !ReadPart(rest, host, ':') ||
        !ReadPart(rest, size, ',')) {
      return base::InvalidArgument("invalid id mapping {}", base::Quote(map));
    }
    if (container == 0 && size > 0) return host;
  }
  return base::InvalidArgument("id mapping {} has no root", base::Quote(map));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotDirectories>> SnapshotDirectories::Open(
    const std::string& root) {
  const std::string path = root + "/snapshots";
  RETURN_IF_ERROR(base::MakeDirectories(root, 0700));
  RETURN_IF_ERROR(base::MakeDirectories(path, 0700));
  ASSIGN_OR_RETURN(base::UniqueFd folder, base::Open(path, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(base::UniqueFd for_sync, base::Open(path, O_RDONLY | O_DIRECTORY));
  return std::unique_ptr<SnapshotDirectories>(
      new SnapshotDirectories(root, std::move(folder), std::move(for_sync)));
}

std::string SnapshotDirectories::PathOf(uint64_t id) const {
  return fmt::format("{}/snapshots/{}", root_, id);
}

absl::Status SnapshotDirectories::SyncEntry(uint64_t id) {
  RETURN_IF_ERROR(base::SyncDirectory(PathOf(id)));
  if (::fsync(folder_.get()) != 0) return base::ErrnoStatus("fsync", root_ + "/snapshots");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SnapshotDirectories::List() const {
  return base::ListDirectory(root_ + "/snapshots");
}

absl::Status SnapshotDirectories::Discard(const std::string& name) {
  return base::RemoveTree(fmt::format("{}/snapshots/{}", root_, name));
}

absl::Status MakeOwnedDirectory(const std::string& path, mode_t mode, uid_t uid, gid_t gid) {
  if (::mkdir(path.c_str(), mode) != 0) return base::ErrnoStatus("mkdir", path);
  // chown clears bits of the mode, and the umask has.
  if ((uid != ::geteuid() || gid != ::getegid()) && ::lchown(path.c_str(), uid, gid) != 0) {
    return base::ErrnoStatus("chown", path);
  }
  return ::chmod(path.c_str(), mode) == 0 ? absl::OkStatus() : base::ErrnoStatus("chmod", path);
}

absl::StatusOr<Usage> MeasureFiles(const std::string& path) {
  ASSIGN_OR_RETURN(const base::DiskUsage usage, base::MeasureTree(path));
  return Usage{.size_bytes = usage.size_bytes, .inodes = usage.inodes};
}

absl::StatusOr<std::optional<Owner>> MappedRoot(const Labels& labels) {
  const auto uids = labels.find(std::string(kUidMapLabel));
  const auto gids = labels.find(std::string(kGidMapLabel));
  if (uids == labels.end() || gids == labels.end()) return std::nullopt;
  ASSIGN_OR_RETURN(const uint32_t uid, HostRoot(uids->second));
  ASSIGN_OR_RETURN(const uint32_t gid, HostRoot(gids->second));
  return Owner{.uid = uid, .gid = gid};
}

}  // namespace ctrd::snapshots
