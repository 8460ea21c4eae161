// SPDX-License-Identifier: Apache-2.0
// What is wrong with flags of `run` and `containers create`, before anything is made.
#include "base/files.h"
#include "base/identifiers.h"
#include "ctr/container_flags.h"
#include "ctr/flag_values.h"
#include "ctr/transfer.h"
#include "types/runtimeoptions/v1/api.pb.h"

namespace ctrd::ctr {
namespace {

absl::Status CheckForms(const Invocation& invocation, const RunFlags& flags) {
  for (const std::string& text : invocation.List("mount")) {
    RETURN_IF_ERROR(ParseMount(text).status());
  }
  for (const std::string& text : invocation.List("annotation")) {
    if (text.find('=') == std::string::npos) {
      return base::Unknown("invalid key=value format annotation: {}", text);
    }
  }
  for (const char* flag : {"cap-add", "cap-drop"}) {
    for (const std::string& capability : invocation.List(flag)) {
      if (!capability.starts_with("CAP_")) {
        return base::Unknown("capabilities must be specified with 'CAP_' prefix");
      }
    }
  }
  for (const std::string& text : invocation.List("with-ns")) {
    RETURN_IF_ERROR(ParseNamespace(text).status());
  }
  if (const std::string text = flags.Text("rlimit-nofile"); !text.empty()) {
    RETURN_IF_ERROR(ParseLimit(text).status());
  }
  return absl::OkStatus();
}

absl::Status CheckTogether(const Invocation& invocation, const RunFlags& flags) {
  if (!invocation.Text("seccomp-profile").empty() && !invocation.Switch("seccomp")) {
    return base::Unknown("seccomp must be set to true, if using a custom seccomp-profile");
  }
  if (!invocation.Text("apparmor-profile").empty() &&
      !invocation.Text("apparmor-default-profile").empty()) {
    return base::Unknown("apparmor-profile conflicts with apparmor-default-profile");
  }
  if (flags.Switch("privileged-without-host-devices") && !invocation.Switch("privileged")) {
    return base::Unknown(
        "can't use 'privileged-without-host-devices' without 'privileged' specified");
  }
  if (flags.Real("cpus") > 0 &&
      (invocation.Integer("cpu-quota") != -1 || invocation.Integer("cpu-period") != 0)) {
    return base::Unknown("cpus and quota/period should be used separately");
  }
  return absl::OkStatus();
}

absl::Status CheckIdMappings(const RunFlags& flags, const Invocation& invocation) {
  if (!flags.IsSet("uidmap") && !flags.IsSet("gidmap")) return absl::OkStatus();
  if (flags.IsSet("uidmap") != flags.IsSet("gidmap")) {
    return base::Unknown("a user namespace needs both --uidmap and --gidmap");
  }
  RETURN_IF_ERROR(ParseIdMappings(invocation.List("uidmap")).status());
  return ParseIdMappings(invocation.List("gidmap")).status();
}

// Devices of the Container Device Interface are named in files below these.
bool HasDeviceSpecs() {
  for (const char* folder : {"/etc/cdi", "/var/run/cdi"}) {
    const auto names = base::ListDirectory(folder);
    if (names.ok() && !names->empty()) return true;
  }
  return false;
}

// "vendor.com/class=name", as opposed to a path.
bool IsDeviceName(std::string_view device) {
  const size_t slash = device.find('/');
  return slash != std::string_view::npos && slash > 0 &&
         device.find('=', slash) != std::string_view::npos;
}

absl::Status CheckDevices(const Invocation& invocation) {
  if (!invocation.List("gpus").empty()) {
    if (HasDeviceSpecs()) return base::Unimplemented("flag --gpus is not in this ctr yet");
    return base::Unknown(
        "detect GPU vendor failed: no known GPU vendor detected in CDI specs, only AMD and NVIDIA "
        "are supported");
  }
  for (const std::string& device : invocation.List("device")) {
    if (!IsDeviceName(device)) continue;
    if (HasDeviceSpecs()) return base::Unimplemented("CDI devices are not in this ctr yet");
    return base::Unknown("CDI device injection failed: unresolvable CDI devices {}", device);
  }
  return absl::OkStatus();
}

absl::Status CheckMissing(const Invocation& invocation, const RunFlags& flags) {
  if (invocation.IsSet("blockio-class")) {
    return base::Unimplemented("flag --blockio-class is not in this ctr yet");
  }
  return flags.Switch("cni") ? base::Unimplemented("flag --cni is not in this ctr yet")
                             : absl::OkStatus();
}

}  // namespace

absl::Status CheckContainerFlags(const Invocation& invocation) {
  const RunFlags flags(invocation);
  RETURN_IF_ERROR(CheckForms(invocation, flags));
  RETURN_IF_ERROR(CheckTogether(invocation, flags));
  RETURN_IF_ERROR(CheckMissing(invocation, flags));
  RETURN_IF_ERROR(CheckDevices(invocation));
  return CheckIdMappings(flags, invocation);
}

absl::StatusOr<containerd::runc::v1::Options> RuncOptions(const Invocation& invocation) {
  containerd::runc::v1::Options options;
  const std::string binary = invocation.Text("runc-binary");
  const bool systemd = invocation.Switch("runc-systemd-cgroup");
  if ((!binary.empty() || systemd) && invocation.Text("runtime") != kDefaultRuntime) {
    return base::Unknown(
        "specifying runc-binary and runc-systemd-cgroup is only supported for {} runtime",
        base::Quote(kDefaultRuntime));
  }
  if (systemd && RunFlags(invocation).Text("cgroup").empty()) {
    // It takes the form of --cgroup that systemd's driver has, not that of a path.
    return base::Unknown(
        "option --runc-systemd-cgroup requires --cgroup to be set, e.g. "
        "\"machine.slice:foo:deadbeef\"");
  }
  options.set_binary_name(binary);
  options.set_systemd_cgroup(systemd);
  options.set_root(invocation.Text("runc-root"));
  return options;
}

absl::StatusOr<std::optional<google::protobuf::Any>> RuntimeOptions(const Invocation& invocation) {
  ASSIGN_OR_RETURN(const auto runc_options, RuncOptions(invocation));
  if (invocation.Text("runtime") == kDefaultRuntime) return PackBare(runc_options);
  const std::string path = invocation.Text("runtime-config-path");
  if (path.empty()) return std::nullopt;
  runtimeoptions::v1::Options options;
  options.set_config_path(path);
  return PackBare(options);
}

}  // namespace ctrd::ctr
