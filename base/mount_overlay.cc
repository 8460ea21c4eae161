// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <thread>

#include "base/files.h"
#include "base/mount_source.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

// fsconfig(2) takes strings of up to 255 bytes.
constexpr size_t kLongestValue = 255;
constexpr std::string_view kLowerDir = "lowerdir=";

struct OverlayOptions {
  std::vector<std::string> lowers;  // Nearest first, unescaped.
  std::vector<std::string> others;  // "key=value" or "key".
};

// nullopt: data-only lower directories ("a::b"), which lowerdir+ cannot express.
std::optional<OverlayOptions> SplitOverlayOptions(const MountOptions& options) {
  OverlayOptions split;
  for (const std::string& joined : options.data) {
    for (std::string& option : SplitUnescaped(joined, ',')) {
      if (!std::string_view(option).starts_with(kLowerDir)) {
        if (!option.empty()) split.others.push_back(std::move(option));
        continue;
      }
      for (const std::string& lower :
           SplitUnescaped(std::string_view(option).substr(kLowerDir.size()), ':')) {
        if (lower.empty()) return std::nullopt;
        split.lowers.push_back(Unescape(lower));
      }
    }
  }
  return split;
}

bool SetPath(int context, const char* key, const std::string& path) {
  if (path.size() <= kLongestValue) {
    return ::fsconfig(context, FSCONFIG_SET_STRING, key, path.c_str(), 0) == 0;
  }
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.valid()) return false;
  if (::fsconfig(context, FSCONFIG_SET_FD, key, nullptr, fd.get()) == 0) return true;
  // Before 6.13 the overlay takes names only.
  const std::string link = fmt::format("/proc/self/fd/{}", fd.get());
  return ::fsconfig(context, FSCONFIG_SET_STRING, key, link.c_str(), 0) == 0;
}

bool SetOption(int context, const std::string& option) {
  const size_t equals = option.find('=');
  if (equals == std::string::npos) {
    return ::fsconfig(context, FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0) == 0;
  }
  const std::string key = option.substr(0, equals);
  std::string value = option.substr(equals + 1);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);  // context="…": mount(2) strips these too.
  }
  if (key == "upperdir" || key == "workdir") return SetPath(context, key.c_str(), Unescape(value));
  return ::fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) == 0;
}

unsigned MountAttributes(unsigned long flags) {
  return static_cast<unsigned>(AttributesOf(flags).attr_set);
}

absl::StatusOr<UniqueFd> CreateDetached(const std::string& type, const std::string& source,
                                        const OverlayOptions& options, unsigned long flags) {
  const UniqueFd context(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context.valid()) {
    if (errno == ENOSYS) return Unimplemented("fsopen");
    return ErrnoStatus("open file system", type);
  }
  if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "source", source.c_str(), 0) != 0) {
    return ErrnoStatus("set source", source);
  }
  for (const std::string& lower : options.lowers) {
    if (SetPath(context.get(), "lowerdir+", lower)) continue;
    if (errno == EINVAL && &lower == &options.lowers.front()) return Unimplemented("lowerdir+");
    return ErrnoStatus("add lower directory", lower);
  }
  for (const std::string& option : options.others) {
    if (!SetOption(context.get(), option)) return ErrnoStatus("set option", option);
  }
  // What concerns the file system as a whole and not only this mount of it.
  constexpr std::pair<unsigned long, const char*> kSuperFlags[] = {
      {MS_RDONLY, "ro"}, {MS_SYNCHRONOUS, "sync"}, {MS_DIRSYNC, "dirsync"}, {MS_MANDLOCK, "mand"}};
  for (const auto& [flag, word] : kSuperFlags) {
    if ((flags & flag) != 0 && !SetOption(context.get(), word)) {
      return ErrnoStatus("set option", word);
    }
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoStatus("create file system", type);
  }
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, MountAttributes(flags)));
  if (!mount.valid()) return ErrnoStatus("mount", type);
  return mount;
}

absl::StatusOr<UniqueFd> OpenMappedLower(const std::string& path, int user_namespace) {
  UniqueFd tree(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return ErrnoStatus("clone mount of", path);
  struct mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  attributes.propagation = MS_PRIVATE;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0) {
    return ErrnoStatus("make read-only", path);
  }
  RETURN_IF_ERROR(Annotate(MapIds(tree.get(), user_namespace), path));
  return tree;
}

// Runs in a mount namespace of its own. The overlay takes only lower directories that are mounted
// in the caller's namespace; here they are, and a crash leaves none of them anywhere.
absl::StatusOr<UniqueFd> MountMappedPrivately(OverlayOptions options, const std::string& source,
                                              int user_namespace, unsigned long flags) {
  constexpr const char* kStage = "/proc";  // Exists everywhere, and no layer lies below it.
  if (::unshare(CLONE_FS | CLONE_NEWNS) != 0) return ErrnoStatus("unshare", "mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus("make private", "/");
  }
  std::vector<UniqueFd> trees;
  for (const std::string& lower : options.lowers) {
    ASSIGN_OR_RETURN(UniqueFd tree, OpenMappedLower(lower, user_namespace));
    trees.push_back(std::move(tree));
  }
  if (::mount("tmpfs", kStage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") != 0) {
    return ErrnoStatus("mount", kStage);
  }
  for (size_t i = 0; i < trees.size(); ++i) {
    const std::string place = fmt::format("{}/{}", kStage, i);
    if (::mkdir(place.c_str(), 0700) != 0) return ErrnoStatus("mkdir", place);
    if (::move_mount(trees[i].get(), "", AT_FDCWD, place.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return ErrnoStatus("attach", options.lowers[i]);
    }
    options.lowers[i] = place;
  }
  return CreateDetached("overlay", source, options, flags);
}

// The longest directory that all of `paths` lie in.
std::string CommonDirectory(const std::vector<std::string>& paths) {
  std::string common = paths.front().substr(0, paths.front().find_last_of('/'));
  for (const std::string& path : paths) {
    while (!common.empty() && !path.starts_with(common + "/")) {
      common.resize(common.find_last_of('/'));
    }
  }
  return common;
}

std::string Escape(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    if (c == '\\' || c == ':' || c == ',') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenOverlay(const MountOptions& options, const std::string& source) {
  const std::optional<OverlayOptions> split = SplitOverlayOptions(options);
  if (!split.has_value()) return Unimplemented("data-only lower directories");
  return CreateDetached("overlay", source, *split, options.flags);
}

absl::StatusOr<UniqueFd> OpenOverlayWithMappedLowers(const MountOptions& options,
                                                     const std::string& source) {
  ASSIGN_OR_RETURN(UniqueFd user_namespace, OpenUserNamespace(options));
  std::optional<OverlayOptions> split = SplitOverlayOptions(options);
  if (!split.has_value()) return Unimplemented("id-mapped data-only lower directories");
  absl::StatusOr<UniqueFd> mount = UniqueFd();
  std::thread([&] {
    mount = MountMappedPrivately(*std::move(split), source, user_namespace.get(), options.flags);
  }).join();
  return mount;
}

absl::StatusOr<UniqueFd> OpenWithMappedIds(const std::string& type, const std::string& source,
                                           const MountOptions& options) {
  ASSIGN_OR_RETURN(UniqueFd user_namespace, OpenUserNamespace(options));
  OverlayOptions plain;
  for (const std::string& joined : options.data) {
    std::ranges::move(SplitUnescaped(joined, ','), std::back_inserter(plain.others));
  }
  ASSIGN_OR_RETURN(UniqueFd mount, CreateDetached(type, source, plain, options.flags));
  RETURN_IF_ERROR(MapIds(mount.get(), user_namespace.get()));
  return mount;
}

bool MountOverlayRelative(const MountOptions& options, const std::string& source,
                          const std::string& target) {
  std::optional<OverlayOptions> split = SplitOverlayOptions(options);
  const auto absolute = [](const std::string& path) { return path.starts_with('/'); };
  const bool usable =
      split.has_value() && split->lowers.size() > 1 && std::ranges::all_of(split->lowers, absolute);
  const std::string common = usable ? CommonDirectory(split->lowers) : std::string();
  if (common.empty()) {
    errno = E2BIG;
    return false;
  }
  std::string data;
  for (const std::string& option : split->others) data += option + ",";
  data += kLowerDir;
  for (const std::string& lower : split->lowers) {
    data += Escape(lower.substr(common.size() + 1)) + ":";
  }
  data.pop_back();
  if (data.size() >= static_cast<size_t>(::sysconf(_SC_PAGESIZE))) {
    errno = E2BIG;
    return false;
  }
  int error = 0;
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0 || ::chdir(common.c_str()) != 0 ||
        ::mount(source.c_str(), target.c_str(), "overlay", options.flags, data.c_str()) != 0) {
      error = errno;
    }
  }).join();
  errno = error;
  return error == 0;
}

}  // namespace ctrd::base
