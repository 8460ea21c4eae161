// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <array>
#include <cctype>
#include <cstring>
#include <string_view>

#include "base/files.h"
#include "base/status.h"

namespace ctrd::runtime {
namespace {

constexpr std::array<std::string_view, 41> kCapabilities = {"CHOWN",
                                                            "DAC_OVERRIDE",
                                                            "DAC_READ_SEARCH",
                                                            "FOWNER",
                                                            "FSETID",
                                                            "KILL",
                                                            "SETGID",
                                                            "SETUID",
                                                            "SETPCAP",
                                                            "LINUX_IMMUTABLE",
                                                            "NET_BIND_SERVICE",
                                                            "NET_BROADCAST",
                                                            "NET_ADMIN",
                                                            "NET_RAW",
                                                            "IPC_LOCK",
                                                            "IPC_OWNER",
                                                            "SYS_MODULE",
                                                            "SYS_RAWIO",
                                                            "SYS_CHROOT",
                                                            "SYS_PTRACE",
                                                            "SYS_PACCT",
                                                            "SYS_ADMIN",
                                                            "SYS_BOOT",
                                                            "SYS_NICE",
                                                            "SYS_RESOURCE",
                                                            "SYS_TIME",
                                                            "SYS_TTY_CONFIG",
                                                            "MKNOD",
                                                            "LEASE",
                                                            "AUDIT_WRITE",
                                                            "AUDIT_CONTROL",
                                                            "SETFCAP",
                                                            "MAC_OVERRIDE",
                                                            "MAC_ADMIN",
                                                            "SYSLOG",
                                                            "WAKE_ALARM",
                                                            "BLOCK_SUSPEND",
                                                            "AUDIT_READ",
                                                            "PERFMON",
                                                            "BPF",
                                                            "CHECKPOINT_RESTORE"};

constexpr std::array<std::string_view, 7> kSkippedDirectories = {
    "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"};

bool IsDevice(const struct stat& info) { return S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode); }

HostDevice Describe(const std::string& path, const struct stat& info) {
  return {.path = path,
          .type = S_ISBLK(info.st_mode) ? 'b' : 'c',
          .major = ::major(info.st_rdev),
          .minor = ::minor(info.st_rdev),
          .mode = info.st_mode & 07777U,
          .uid = info.st_uid,
          .gid = info.st_gid};
}

absl::Status CollectDevices(const std::string& directory, std::vector<HostDevice>& devices) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, base::ListDirectory(directory));
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) continue;  // Gone since it was listed.
      return base::ErrnoStatus("stat", path);
    }
    if (S_ISDIR(info.st_mode)) {
      if (std::find(kSkippedDirectories.begin(), kSkippedDirectories.end(), name) ==
          kSkippedDirectories.end()) {
        RETURN_IF_ERROR(CollectDevices(path, devices));
      }
    } else if (IsDevice(info) && name != "console") {
      devices.push_back(Describe(path, info));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string HostArchitecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__i386__)
  return "386";
#elif defined(__aarch64__)
  return "arm64";
#elif defined(__arm__)
  return "arm";
#elif defined(__riscv)
  return "riscv64";
#elif defined(__s390x__)
  return "s390x";
#elif defined(__powerpc64__)
  return "ppc64le";
#elif defined(__loongarch64)
  return "loong64";
#else
#error "which architecture is this?"
#endif
}

std::string HostName() {
  utsname names{};
  return ::uname(&names) == 0 ? names.nodename : "";
}

absl::StatusOr<std::vector<std::string>> EffectiveCapabilities() {
  ASSIGN_OR_RETURN(std::string status, base::ReadFile("/proc/self/status"));
  const size_t line = status.find("CapEff:");
  if (line == std::string::npos) return base::Unknown("no capabilities in /proc/self/status");
  const uint64_t set = std::strtoull(status.c_str() + line + 7, nullptr, 16);
  std::vector<std::string> capabilities;
  for (size_t i = 0; i < kCapabilities.size(); ++i) {
    if ((set >> i) & 1U) capabilities.push_back("CAP_" + std::string(kCapabilities[i]));
  }
  return capabilities;
}

absl::StatusOr<std::vector<HostDevice>> FindHostDevices(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    std::string reason = ::strerror(errno);
    reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
    return base::Unknown("error stating device path: stat {}: {}", path, reason);
  }
  std::vector<HostDevice> devices;
  if (S_ISDIR(info.st_mode)) {
    RETURN_IF_ERROR(CollectDevices(path, devices));
  } else if (IsDevice(info)) {
    devices.push_back(Describe(path, info));
  } else {
    return base::WithCode(base::Unknown("not a device node"), absl::StatusCode::kInvalidArgument);
  }
  return devices;
}

}  // namespace ctrd::runtime
