// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/mount_transformers.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/mount_source.h"
#include "base/status.h"
#include "daemon/mounts/make_directory.h"
#include "daemon/mounts/make_file_system.h"
#include "daemon/mounts/mount_template.h"

namespace ctrd::mounts {
namespace {

constexpr std::array<std::string_view, 3> kTransformers = {"format", "mkfs", "mkdir"};
constexpr std::string_view kDevice = "device=";

bool IsFile(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

// Loop devices for an image's file and for its further ones ("device=<file>"), until it is mounted.
absl::Status MountErofs(const base::Mount& original, const std::string& directory) {
  base::Mount mount = original;
  std::vector<base::LoopDevice> devices;
  const auto attach = [&](std::string& path) -> absl::Status {
    if (!IsFile(path)) return absl::OkStatus();
    ASSIGN_OR_RETURN(base::LoopDevice device, base::AttachLoopDevice(path, true, false));
    path = device.path;
    devices.push_back(std::move(device));
    return absl::OkStatus();
  };
  std::erase(mount.options, "loop");
  std::erase(mount.options, "rw");
  RETURN_IF_ERROR(attach(mount.source));
  for (std::string& option : mount.options) {
    if (!std::string_view(option).starts_with(kDevice)) continue;
    std::string path = option.substr(kDevice.size());
    RETURN_IF_ERROR(attach(path));
    option = fmt::format("{}{}", kDevice, path);
  }
  if (std::ranges::find(mount.options, "ro") == mount.options.end()) mount.options.push_back("ro");
  return base::MountAll({mount}, directory);
}

}  // namespace

TypedMount SplitType(std::string_view type) {
  TypedMount split;
  while (true) {
    const size_t slash = type.find('/');
    const std::string_view word = type.substr(0, slash);
    if (slash == std::string_view::npos ||
        std::ranges::find(kTransformers, word) == kTransformers.end()) {
      split.type = type;
      return split;
    }
    split.transformers.push_back(word);
    type.remove_prefix(slash + 1);
  }
}

absl::Status Transform(base::Mount& mount, const std::vector<base::ActiveMount>& active,
                       const std::vector<std::string>& roots) {
  const std::string whole = mount.type;
  const TypedMount split = SplitType(whole);
  for (const std::string_view transformer : split.transformers) {
    if (transformer == "format") RETURN_IF_ERROR(ExpandMount(mount, active));
    if (transformer == "mkfs") RETURN_IF_ERROR(MakeFileSystem(mount, roots));
    if (transformer == "mkdir") RETURN_IF_ERROR(MakeDirectoriesOf(mount, roots));
  }
  mount.type = split.type;
  return absl::OkStatus();
}

absl::Status MountPrepared(const base::Mount& mount, const std::string& directory) {
  if (mount.type == "erofs") return MountErofs(mount, directory);
  return base::MountAll({mount}, directory);
}

}  // namespace ctrd::mounts
