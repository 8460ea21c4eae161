// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/spec_json.h"

namespace ctrd::runtime {
namespace {

Json Capabilities() {
  return {"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
          "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
          "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
          "CAP_KILL",    "CAP_AUDIT_WRITE"};
}

Json Mount(std::string_view destination, std::string_view type, std::string_view source,
           std::vector<std::string_view> options) {
  return Json{
      {"destination", destination}, {"type", type}, {"source", source}, {"options", options}};
}

Json Mounts() {
  return Json::array({
      Mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      Mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      Mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      Mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      Mount("/run", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
  });
}

Json Process() {
  const Json capabilities = Capabilities();
  return Json{
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"cwd", "/"},
      // No inheritable set: a program with file capabilities must not gain by it.
      {"capabilities",
       {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
      {"rlimits", Json::array({{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}})},
      {"noNewPrivileges", true}};
}

Json Linux(std::string_view cgroups_path) {
  Json namespaces = Json::array();
  for (std::string_view type : {"pid", "ipc", "uts", "mount", "network"}) {
    namespaces.push_back(Json{{"type", type}});
  }
  return Json{{"resources", {{"devices", Json::array({{{"allow", false}, {"access", "rwm"}}})}}},
              {"cgroupsPath", cgroups_path},
              {"namespaces", namespaces},
              {"maskedPaths",
               {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/sys/devices/virtual/powercap", "/proc/scsi"}},
              {"readonlyPaths",
               {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}};
}

}  // namespace

Json DefaultSpecDocument(std::string_view cgroups_path) {
  return Json{{"ociVersion", "1.3.0"},
              {"process", Process()},
              {"root", {{"path", "rootfs"}}},
              {"mounts", Mounts()},
              {"linux", Linux(cgroups_path)}};
}

}  // namespace ctrd::runtime
