// SPDX-License-Identifier: Apache-2.0
#include "base/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ranges>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/mount_options.h"
#include "base/mount_source.h"
#include "base/process.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

constexpr absl::Duration kFuseTimeout = absl::Seconds(30);
// How long an upper directory that another overlay holds is waited for.
constexpr absl::Duration kUpperPatience = absl::Seconds(2);
constexpr absl::Duration kUpperPause = absl::Milliseconds(2);
// From here on an overlay's options are handed to the kernel one by one.
constexpr size_t kLongOptionsSlack = 512;

size_t PageBytes() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

// The name under which mount(2) finds an open descriptor.
std::string LinkTo(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

// Errno as the reference prints it: in lower case.
std::string ReasonOf(int error_number) {
  char buffer[128];
  std::string reason = ::strerror_r(error_number, buffer, sizeof(buffer));
  if (reason.size() > 1 && reason[1] >= 'a' && reason[0] >= 'A' && reason[0] <= 'Z') {
    reason[0] = static_cast<char>(reason[0] - 'A' + 'a');
  }
  return reason;
}

// Where a mount goes: a descriptor, safe from renames, and its name for messages.
struct Target {
  UniqueFd fd;
  std::string path;
};

absl::StatusOr<Target> ResolveTarget(const std::string& directory, const std::string& target) {
  // Opened again for every mount: the one before may be what the next one goes onto.
  ASSIGN_OR_RETURN(UniqueFd base, Open(directory, O_PATH));
  if (target.empty()) return Target{std::move(base), directory};
  ASSIGN_OR_RETURN(UniqueFd below, OpenInRoot(base.get(), target, O_PATH));
  return Target{std::move(below), fmt::format("{}/{}", directory, target)};
}

// One mount on its way: what was asked for, sorted, and where it goes.
class MountJob {
 public:
  MountJob(const std::string& directory, const Mount& mount, MountOptions options, Target target)
      : directory_(directory),
        mount_(mount),
        options_(std::move(options)),
        target_(std::move(target)),
        source_(mount.source) {}

  absl::Status Run();

 private:
  absl::Status Failed(int error_number) const { return FailedWith(ReasonOf(error_number)); }
  absl::Status FailedWith(std::string_view reason) const {
    return Unknown("mount source: {}, target: {}, fstype: {}, flags: {}, data: {}, err: {}",
                   Quote(source_), Quote(target_.path), mount_.type, options_.flags,
                   Quote(options_.JoinedData()), reason);
  }
  bool is_overlay() const { return mount_.type == "overlay"; }

  absl::Status Attach(int tree) const;
  absl::Status Bind() const;
  absl::Status BindByPath() const;
  absl::Status Overlay() const;
  absl::Status Fuse() const;
  absl::Status ByPath() const;

  const std::string& directory_;
  const Mount& mount_;
  const MountOptions options_;
  const Target target_;
  std::string source_;
};

absl::Status MountJob::Attach(int tree) const {
  if (::move_mount(tree, "", target_.fd.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return Failed(errno);
  }
  return absl::OkStatus();
}

absl::Status MountJob::Bind() const {
  const unsigned recursive = (options_.flags & MS_REC) != 0 ? AT_RECURSIVE : 0;
  const UniqueFd tree(
      ::open_tree(AT_FDCWD, source_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
  if (!tree.valid()) {
    if (errno == ENOSYS && !options_.has_maps()) return BindByPath();
    return Failed(errno);
  }
  // Set before anybody sees the mount, and only what was asked for: flags that a user namespace has
  // locked stay as they are.
  struct mount_attr attributes = AttributesOf(options_.flags);
  if ((attributes.attr_set | attributes.attr_clr) != 0 &&
      ::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0) {
    if (errno == ENOSYS && !options_.has_maps()) return BindByPath();
    return Failed(errno);
  }
  if (options_.has_maps()) {
    ASSIGN_OR_RETURN(UniqueFd user_namespace, OpenUserNamespace(options_));
    const absl::Status mapped = MapIds(tree.get(), user_namespace.get());
    if (!mapped.ok()) return FailedWith(MessageOf(mapped));
  }
  return Attach(tree.get());
}

// For kernels before 5.12.
absl::Status MountJob::BindByPath() const {
  const std::string target = LinkTo(target_.fd.get());
  if (::mount(source_.c_str(), target.c_str(), nullptr, options_.flags & (MS_BIND | MS_REC),
              nullptr) != 0) {
    return Failed(errno);
  }
  if ((options_.flags & MS_RDONLY) == 0) return absl::OkStatus();
  // The descriptor shows what is below the new mount; only the path leads to its root.
  auto mounted = ResolveTarget(directory_, mount_.target);
  RETURN_IF_ERROR(mounted.status());
  const std::string root = LinkTo(mounted->fd.get());
  if (::mount(nullptr, root.c_str(), nullptr, (options_.flags & ~MS_REC) | MS_REMOUNT, nullptr) ==
      0) {
    return absl::OkStatus();
  }
  const absl::Status status = Failed(errno);
  (void)::umount2(root.c_str(), MNT_DETACH);
  return status;
}

absl::Status MountJob::Overlay() const {
  if (options_.has_maps()) {
    auto mapped = OpenOverlayWithMappedLowers(options_, source_);
    return mapped.ok() ? Attach(mapped->get()) : FailedWith(MessageOf(mapped.status()));
  }
  if (options_.JoinedData().size() + kLongOptionsSlack < PageBytes()) return ByPath();
  auto tree = OpenOverlay(options_, source_);
  if (tree.ok()) return Attach(tree->get());
  if (!absl::IsUnimplemented(tree.status())) return FailedWith(MessageOf(tree.status()));
  if (MountOverlayRelative(options_, source_, LinkTo(target_.fd.get()))) return absl::OkStatus();
  return errno == E2BIG ? absl::InvalidArgumentError("mount options is too long") : Failed(errno);
}

absl::Status MountJob::Fuse() const {
  const size_t dot = mount_.type.find('.');
  SpawnOptions spawn{.argv = {"mount." + mount_.type.substr(0, dot), source_, target_.path},
                     .environment = CurrentEnvironment()};
  for (const std::string& option : mount_.options) {
    spawn.argv.insert(spawn.argv.end(), {"-o", option});
  }
  spawn.argv.insert(spawn.argv.end(), {"-t", mount_.type.substr(dot + 1)});
  auto result = base::Run(std::move(spawn), "", absl::Now() + kFuseTimeout);
  RETURN_IF_ERROR(result.status());
  return result->exit_code == 0 ? absl::OkStatus() : FailedWith(result->output);
}

absl::Status MountJob::ByPath() const {
  const std::string data = options_.JoinedData();
  if (data.size() >= PageBytes()) return absl::InvalidArgumentError("mount options is too long");
  const absl::Time deadline = absl::Now() + kUpperPatience;
  while (::mount(source_.c_str(), LinkTo(target_.fd.get()).c_str(), mount_.type.c_str(),
                 options_.flags, data.c_str()) != 0) {
    // With index=on the kernel takes an upper directory once, and one that UnmountAllButOverlays
    // took out of sight may not be over yet.
    if (errno != EBUSY || !is_overlay() || absl::Now() >= deadline) return Failed(errno);
    absl::SleepFor(kUpperPause);
  }
  return absl::OkStatus();
}

absl::Status MountJob::Run() {
  if (mount_.type.starts_with("fuse.") || mount_.type.starts_with("fuse3.")) return Fuse();
  if ((options_.flags & MS_REMOUNT) != 0) return ByPath();
  if ((options_.flags & MS_BIND) != 0) return Bind();
  LoopDevice loop;  // Held until the mount holds it.
  if (options_.loop) {
    ASSIGN_OR_RETURN(
        loop, AttachLoopDevice(source_, (options_.flags & MS_RDONLY) != 0, options_.direct_io));
    source_ = loop.path;
  }
  if (is_overlay()) return Overlay();
  if (!options_.has_maps()) return ByPath();
  auto tree = OpenWithMappedIds(mount_.type, source_, options_);
  return tree.ok() ? Attach(tree->get()) : FailedWith(MessageOf(tree.status()));
}

// Takes away the topmost mount on a target of MountAll.
void Undo(const std::string& directory, const std::string& target) {
  auto resolved = ResolveTarget(directory, target);
  // Nobody uses the mount yet but the descriptor that names it here: it ends with the descriptor.
  if (resolved.ok()) (void)::umount2(LinkTo(resolved->fd.get()).c_str(), MNT_DETACH);
}

absl::Status MountOne(const Mount& mount, const std::string& directory) {
  ASSIGN_OR_RETURN(MountOptions options, ParseMountOptions(mount.options));
  const bool adds_mount = (options.flags & MS_REMOUNT) == 0;
  const unsigned long propagation = options.propagation;
  ASSIGN_OR_RETURN(Target target, ResolveTarget(directory, mount.target));
  const std::string path = target.path;
  RETURN_IF_ERROR(MountJob(directory, mount, std::move(options), std::move(target)).Run());
  if (propagation == 0) return absl::OkStatus();
  auto mounted = ResolveTarget(directory, mount.target);
  if (mounted.ok() &&
      ::mount(nullptr, LinkTo(mounted->fd.get()).c_str(), nullptr, propagation, nullptr) == 0) {
    return absl::OkStatus();
  }
  const absl::Status status =
      mounted.ok() ? ErrnoStatus("change propagation of", path) : mounted.status();
  if (adds_mount) Undo(directory, mount.target);
  return status;
}

bool IsRemount(const Mount& mount) {
  return std::ranges::find(mount.options, "remount") != mount.options.end();
}

}  // namespace

absl::Status MountAll(const Mounts& mounts, const std::string& directory) {
  for (size_t i = 0; i < mounts.size(); ++i) {
    const absl::Status status = MountOne(mounts[i], directory);
    if (status.ok()) continue;
    for (size_t done = i; done-- > 0;) {
      if (!IsRemount(mounts[done])) Undo(directory, mounts[done].target);
    }
    return status;
  }
  return absl::OkStatus();
}

}  // namespace ctrd::base
