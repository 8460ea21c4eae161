// SPDX-License-Identifier: Apache-2.0
#include "base/mount_source.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/status.h"

namespace ctrd::base {
namespace {

constexpr int kLoopAttempts = 100;

// A process in a new user namespace that does nothing until it is killed.
class SleepingChild {
 public:
  SleepingChild() {
    // No exit signal: nobody who waits for "any child" gets this one.
    pid_ = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER, nullptr, nullptr, nullptr, 0L));
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
  SleepingChild(const SleepingChild&) = delete;
  ~SleepingChild() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

absl::Status WriteIdMap(pid_t pid, std::string_view file, std::string_view map) {
  ASSIGN_OR_RETURN(const std::string lines, IdMapLines(map));
  const std::string path = fmt::format("/proc/{}/{}", pid, file);
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_WRONLY));
  return WriteAll(fd.get(), lines, path);
}

}  // namespace

absl::StatusOr<LoopDevice> AttachLoopDevice(const std::string& file, bool read_only,
                                            bool direct_io) {
  ASSIGN_OR_RETURN(UniqueFd backing, Open(file, read_only ? O_RDONLY : O_RDWR));
  ASSIGN_OR_RETURN(UniqueFd control, Open("/dev/loop-control", O_RDWR));
  struct loop_config config = {};
  config.fd = static_cast<uint32_t>(backing.get());
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
  if (read_only) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
  if (direct_io) config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
  std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), file.c_str(), LO_NAME_SIZE - 1);
  for (int attempt = 0; attempt < kLoopAttempts; ++attempt) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return ErrnoStatus("find a free loop device for", file);
    LoopDevice device{.fd = {}, .path = fmt::format("/dev/loop{}", number)};
    ASSIGN_OR_RETURN(device.fd, Open(device.path, read_only ? O_RDONLY : O_RDWR));
    if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    // EBUSY: somebody else took the free device first.
    if (errno != EBUSY) return ErrnoStatus("attach loop device to", file);
  }
  return ErrnoStatus(EBUSY, "attach loop device to", file);
}

absl::StatusOr<UniqueFd> OpenUserNamespace(const MountOptions& options) {
  const SleepingChild child;
  if (child.pid() < 0) return ErrnoStatus("create user namespace", options.uid_map);
  RETURN_IF_ERROR(WriteIdMap(child.pid(), "uid_map", options.uid_map));
  RETURN_IF_ERROR(WriteIdMap(child.pid(), "gid_map", options.gid_map));
  return Open(fmt::format("/proc/{}/ns/user", child.pid()), O_RDONLY);
}

absl::Status MapIds(int tree, int user_namespace) {
  struct mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  if (::mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) !=
      0) {
    return ErrnoStatus("map ids of", "mount");
  }
  return absl::OkStatus();
}

}  // namespace ctrd::base
