// SPDX-License-Identifier: Apache-2.0
#include "ctr/container_flags.h"

#include "ctr/commands.h"

namespace ctrd::ctr {

std::vector<Flag> RuntimeFlags() {
  return {
      {FlagKind::kText, "runtime", "name of the runtime", kDefaultRuntime},
      {FlagKind::kText, "runtime-config-path", "configuration of the runtime"},
      {FlagKind::kText, "runc-binary", "program to use for runc"},
      {FlagKind::kText, "runc-root", "state directory of runc"},
      {FlagKind::kSwitch, "runc-systemd-cgroup", "let systemd manage the cgroup"},
  };
}

std::vector<Flag> ContainerFlags() {
  std::vector<Flag> flags = {
      SnapshotterFlag(),
      {FlagKind::kList, "snapshotter-label", "labels of the container's snapshot"},
      {FlagKind::kText, "config,c", "file with the whole runtime specification"},
      {FlagKind::kText, "cwd", "working directory of the process"},
      {FlagKind::kList, "env", "environment variable (FOO=bar)"},
      {FlagKind::kText, "env-file", "file with environment variables, one on each line"},
      LabelFlag("labels of the container (foo=bar)"),
      {FlagKind::kList, "annotation", "OCI annotations (foo=bar)"},
      {FlagKind::kList, "mount", "a mount (type=bind,src=/tmp,dst=/host,options=rbind:ro)"},
      {FlagKind::kSwitch, "net-host", "use the host's network"},
      {FlagKind::kSwitch, "privileged", "give the container all that we may do"},
      {FlagKind::kSwitch, "read-only", "make the root file system read-only"},
      {FlagKind::kSwitch, "tty,t", "give the container a terminal"},
      {FlagKind::kList, "with-ns", "namespace to join (<type>:<path>)"},
      {FlagKind::kText, "pid-file", "file that gets the task's pid"},
      {FlagKind::kList, "gpus", "graphics processors to add"},
      {FlagKind::kSwitch, "allow-new-privs", "do not set no_new_privs"},
      {FlagKind::kInteger, "memory-limit", "limit of memory in bytes", "0"},
      {FlagKind::kList, "device", "device, or directory of devices, to add"},
      {FlagKind::kList, "cap-add", "capability to add (CAP_…)"},
      {FlagKind::kList, "cap-drop", "capability to drop (CAP_…)"},
      {FlagKind::kSwitch, "seccomp", "use the default seccomp profile"},
      {FlagKind::kText, "seccomp-profile", "file with another profile, needs --seccomp"},
      {FlagKind::kText, "apparmor-default-profile", "name for the default AppArmor profile"},
      {FlagKind::kText, "apparmor-profile", "an AppArmor profile that is loaded already"},
      {FlagKind::kText, "blockio-config-file", "classes of block I/O"},
      {FlagKind::kText, "blockio-class", "class of block I/O"},
      {FlagKind::kText, "rdt-class", "class of cache and memory bandwidth"},
      {FlagKind::kText, "hostname", "host name of the container"},
      {FlagKind::kText, "user,u", "user[:group] of the process"},
      {FlagKind::kText, "sandbox", "sandbox of the container"},
      {FlagKind::kSwitch, "rootfs", "the first argument is a directory, not an image"},
      {FlagKind::kSwitch, "no-pivot", "do not use pivot_root"},
      {FlagKind::kInteger, "cpu-quota", "CPU time in each period, in microseconds", "-1"},
      {FlagKind::kInteger, "cpu-period", "length of a period, in microseconds", "0"},
      {FlagKind::kText, "rootfs-propagation", "propagation of the root mount"},
  };
  return Join({flags, RuntimeFlags()});
}

std::vector<Flag> RunResourceFlags() {
  return {
      {FlagKind::kText, "cgroup", "path of the cgroup; \"\" for none of ours"},
      {FlagKind::kText, "platform", "take the image for this platform"},
      {FlagKind::kSwitch, "cni", "connect the container by CNI"},
      {FlagKind::kSwitch, "sync-fs", "write everything to disk"},
      {FlagKind::kText, "dump-config", "file that gets the specification"},
      {FlagKind::kList, "uidmap", "user ids of a user namespace (container:host:length)"},
      {FlagKind::kList, "gidmap", "group ids of a user namespace (container:host:length)"},
      {FlagKind::kSwitch, "remap-labels", "let the snapshotter map the ids"},
      {FlagKind::kSwitch, "privileged-without-host-devices", "with --privileged: no host devices"},
      {FlagKind::kReal, "cpus", "number of CPUs", "0"},
      {FlagKind::kInteger, "cpu-shares", "share of CPU time", "1024"},
      {FlagKind::kText, "cpuset-cpus", "CPUs to run on"},
      {FlagKind::kText, "cpuset-mems", "memory nodes to use"},
      {FlagKind::kText, "rlimit-nofile", "limit of open files (soft[:hard])"},
  };
}

}  // namespace ctrd::ctr
