// SPDX-License-Identifier: Apache-2.0
#include "snapshots/overlay/overlay_features.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <charconv>
#include <memory>
#include <utility>

#include "base/files.h"
#include "base/status.h"

namespace ctrd::snapshots {
namespace {

std::string KernelRelease() {
  struct utsname names = {};
  return ::uname(&names) == 0 ? names.release : "";
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

bool IsKernelAtLeast(std::string_view release, int major, int minor) {
  int have_major = 0, have_minor = 0;
  const char* const end = release.data() + release.size();
  const auto first = std::from_chars(release.data(), end, have_major);
  if (first.ec != std::errc()) return false;
  if (first.ptr != end && *first.ptr == '.') std::from_chars(first.ptr + 1, end, have_minor);
  return std::pair(have_major, have_minor) >= std::pair(major, minor);
}

bool InUserNamespace() {
  // The initial namespace maps every id to itself.
  auto map = base::ReadFile("/proc/self/uid_map", 64 << 10);
  if (!map.ok()) return false;
  std::string words;
  for (const char c : *map) {
    if (c != ' ' || (!words.empty() && words.back() != ' ')) words += c;
  }
  return words != "0 0 4294967295\n";
}

bool CanMapIds() { return IsKernelAtLeast(KernelRelease(), 5, 19); }

bool NeedsUserXattr(const std::string& root) {
  if (!InUserNamespace() || !IsKernelAtLeast(KernelRelease(), 5, 11)) return false;
  struct statfs info = {};
  return ::statfs(root.c_str(), &info) != 0 || info.f_type != TMPFS_MAGIC;
}

bool HasIndex() { return base::Exists("/sys/module/overlay/parameters/index"); }

absl::StatusOr<bool> SupportsEntryTypes(const std::string& directory) {
  const std::unique_ptr<DIR, CloseDirectory> stream(::opendir(directory.c_str()));
  if (stream == nullptr) return base::ErrnoStatus("open", directory);
  bool supported = true;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && entry->d_type == DT_UNKNOWN) supported = false;
  }
  return supported;
}

}  // namespace ctrd::snapshots
