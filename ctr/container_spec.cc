// SPDX-License-Identifier: Apache-2.0
// From flags to a runtime specification.
#include <algorithm>
#include <cstdlib>

#include "base/files.h"
#include "base/identifiers.h"
#include "ctr/container_flags.h"
#include "runtime/spec/seccomp_profile.h"

namespace ctrd::ctr {
namespace {

// Flags that only `run` has; `containers create` leaves what they set at the defaults.
struct Flags {
  const Invocation& invocation;
  bool is_run;

  std::string Text(std::string_view name) const { return is_run ? invocation.Text(name) : ""; }
  bool Switch(std::string_view name) const { return is_run && invocation.Switch(name); }
  bool IsSet(std::string_view name) const { return is_run && invocation.IsSet(name); }
};

bool IsRun(const Invocation& invocation) { return invocation.Declares("cgroup"); }

absl::StatusOr<std::string> ReadGivenFile(const std::string& path) {
  auto data = base::ReadFile(path);
  if (!data.ok() && absl::IsNotFound(data.status())) {
    return base::Unknown("open {}: no such file or directory", path);
  }
  return data;
}

absl::StatusOr<std::vector<std::string>> EnvironmentOf(const Invocation& invocation) {
  std::vector<std::string> environment;
  if (const std::string file = invocation.Text("env-file"); !file.empty()) {
    ASSIGN_OR_RETURN(const std::string data, ReadGivenFile(file));
    for (size_t start = 0; start < data.size();) {
      const size_t end = std::min(data.find('\n', start), data.size());
      if (end > start) environment.push_back(data.substr(start, end - start));
      start = end + 1;
    }
  }
  for (std::string& entry : invocation.List("env")) environment.push_back(std::move(entry));
  return environment;
}

absl::Status ApplyPrivileges(const Invocation& invocation, const Flags& flags,
                             runtime::Spec& spec) {
  if (!invocation.Switch("privileged")) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto capabilities, runtime::EffectiveCapabilities());
  spec.MakePrivileged(capabilities);
  if (flags.Switch("privileged-without-host-devices")) return absl::OkStatus();
  spec.AllowAllDevices();
  ASSIGN_OR_RETURN(const auto devices, runtime::FindHostDevices("/dev"));
  for (const runtime::HostDevice& device : devices) spec.AddDeviceNode(device);
  return absl::OkStatus();
}

absl::Status ApplyProfiles(const Invocation& invocation, runtime::Spec& spec) {
  if (invocation.Switch("seccomp")) {
    std::string profile;
    if (const std::string file = invocation.Text("seccomp-profile"); !file.empty()) {
      ASSIGN_OR_RETURN(profile, ReadGivenFile(file));
    } else {
      profile = runtime::DefaultSeccompProfile(
          runtime::SeccompConditions::Host(spec.BoundingCapabilities()));
    }
    RETURN_IF_ERROR(spec.SetSeccompProfile(profile));
  }
  if (const std::string name = invocation.Text("apparmor-profile"); !name.empty()) {
    spec.SetAppArmorProfile(name);
  }
  return absl::OkStatus();
}

void ApplyCpu(const Invocation& invocation, const Flags& flags, runtime::Spec& spec) {
  if (flags.is_run) {
    if (const double cpus = invocation.Real("cpus"); cpus > 0) {
      spec.SetCpuQuota(static_cast<int64_t>(cpus * 100000.0), 100000);
    }
    spec.SetCpuset(invocation.Text("cpuset-cpus"), invocation.Text("cpuset-mems"));
    if (const int64_t shares = invocation.Integer("cpu-shares"); shares > 0) {
      spec.SetCpuShares(static_cast<uint64_t>(shares));
    }
  }
  const int64_t quota = invocation.Integer("cpu-quota");
  const int64_t period = invocation.Integer("cpu-period");
  if (quota != -1 || period != 0) spec.SetCpuQuota(quota, static_cast<uint64_t>(period));
}

absl::Status ApplyDevices(const Invocation& invocation, runtime::Spec& spec) {
  for (const std::string& path : invocation.List("device")) {
    ASSIGN_OR_RETURN(const auto devices, runtime::FindHostDevices(path));
    for (const runtime::HostDevice& device : devices) {
      spec.AddDeviceNode(device);
      spec.AllowDevice(device);
    }
  }
  return absl::OkStatus();
}

absl::Status ApplyLimits(const Flags& flags, runtime::Spec& spec) {
  const std::string text = flags.Text("rlimit-nofile");
  if (text.empty()) return absl::OkStatus();
  const size_t colon = text.find(':');
  const std::string soft = text.substr(0, colon);
  const std::string hard = colon == std::string::npos ? soft : text.substr(colon + 1);
  char* end = nullptr;
  const uint64_t soft_value = std::strtoull(soft.c_str(), &end, 10);
  if (soft.empty() || *end != '\0') return base::Unknown("invalid rlimit {}", base::Quote(text));
  const uint64_t hard_value = std::strtoull(hard.c_str(), &end, 10);
  if (hard.empty() || *end != '\0') return base::Unknown("invalid rlimit {}", base::Quote(text));
  spec.SetRlimit("RLIMIT_NOFILE", soft_value, hard_value);
  return absl::OkStatus();
}

// Of the text "<type>:<path>"; checked before.
void JoinNamespaces(const Invocation& invocation, runtime::Spec& spec) {
  for (const std::string& text : invocation.List("with-ns")) {
    const size_t colon = text.find(':');
    spec.SetNamespace(text.substr(0, colon), text.substr(colon + 1));
  }
}

absl::Status CheckNamespaces(const Invocation& invocation) {
  static constexpr std::string_view kTypes[] = {"pid",  "network", "uts",   "mount",
                                                "user", "ipc",     "cgroup"};
  for (const std::string& text : invocation.List("with-ns")) {
    const size_t colon = text.find(':');
    if (colon == std::string::npos) {
      return base::Unknown(
          "joining a Linux namespace using --with-ns requires the format 'nstype:path'");
    }
    const std::string type = text.substr(0, colon);
    if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) {
      return base::Unknown("the Linux namespace type specified in --with-ns is not valid: {}",
                           type);
    }
  }
  return absl::OkStatus();
}

// The files of an image must show the ids that the maps lead to: a snapshotter can do that, a copy
// of the snapshot by the client is not made.
absl::Status CheckIdMappings(const Invocation& invocation, const Flags& flags) {
  if (!flags.IsSet("uidmap") && !flags.IsSet("gidmap")) return absl::OkStatus();
  RETURN_IF_ERROR(ParseIdMappings(invocation.List("uidmap")).status());
  RETURN_IF_ERROR(ParseIdMappings(invocation.List("gidmap")).status());
  if (flags.Switch("remap-labels") || invocation.Switch("rootfs")) return absl::OkStatus();
  return base::Unimplemented("--uidmap without --remap-labels is not in this ctr yet");
}

absl::Status ApplyImageOrRootfs(const Invocation& invocation, const SpecSource& source,
                                const Flags& flags, runtime::Spec& spec) {
  if (!source.rootfs.empty()) {
    spec.SetRootPath(source.rootfs);
    return absl::OkStatus();
  }
  const images::ImageConfig& image = *source.image;
  spec.ApplyImage({.environment = image.env,
                   .entrypoint = image.entrypoint,
                   .command = image.cmd,
                   .working_directory = image.working_dir});
  ASSIGN_OR_RETURN(const runtime::UserIds ids,
                   runtime::ResolveUser(image.user, runtime::Memberships::kOfResultingUser,
                                        source.read_account_file));
  spec.SetUser(ids);
  if (!flags.IsSet("uidmap") && !flags.IsSet("gidmap")) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto uids, ParseIdMappings(invocation.List("uidmap")));
  ASSIGN_OR_RETURN(const auto gids, ParseIdMappings(invocation.List("gidmap")));
  spec.SetUserNamespace(uids, gids);
  return absl::OkStatus();
}

absl::Status ApplyProcessFlags(const Invocation& invocation, const SpecSource& source,
                               runtime::Spec& spec) {
  if (!source.arguments.empty()) spec.SetArguments(source.arguments);
  if (const std::string path = invocation.Text("cwd"); !path.empty())
    spec.SetWorkingDirectory(path);
  if (const std::string user = invocation.Text("user"); !user.empty()) {
    ASSIGN_OR_RETURN(
        const runtime::UserIds ids,
        runtime::ResolveUser(user, runtime::Memberships::kOfGivenText, source.read_account_file));
    spec.SetUser(ids);
  }
  if (invocation.Switch("tty")) spec.UseTerminal();
  return absl::OkStatus();
}

void ApplyRest(const Invocation& invocation, const Flags& flags, runtime::Spec& spec) {
  JoinNamespaces(invocation, spec);
  if (invocation.Switch("allow-new-privs")) spec.AllowNewPrivileges();
  if (flags.IsSet("cgroup")) spec.SetCgroupsPath(invocation.Text("cgroup"));
  if (const int64_t limit = invocation.Integer("memory-limit"); limit != 0) {
    spec.SetMemoryLimit(limit);
  }
}

}  // namespace

absl::Status CheckContainerFlags(const Invocation& invocation) {
  const Flags flags{invocation, IsRun(invocation)};
  for (const std::string& text : invocation.List("mount")) {
    RETURN_IF_ERROR(ParseMount(text).status());
  }
  for (const std::string& text : invocation.List("annotation")) {
    if (text.find('=') == std::string::npos) {
      return base::Unknown("invalid key=value format: {}", text);
    }
  }
  for (const char* flag : {"cap-add", "cap-drop"}) {
    for (const std::string& capability : invocation.List(flag)) {
      if (!capability.starts_with("CAP_")) {
        return base::Unknown("capabilities must be specified with 'CAP_' prefix");
      }
    }
  }
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
  if (flags.is_run && invocation.Real("cpus") > 0 &&
      (invocation.Integer("cpu-quota") != -1 || invocation.Integer("cpu-period") != 0)) {
    return base::Unknown("cpus and quota/period should be used separately");
  }
  for (const char* flag : {"apparmor-default-profile", "blockio-class", "gpus", "sandbox"}) {
    if (invocation.IsSet(flag)) {
      return base::Unimplemented("flag --{} is not in this ctr yet", flag);
    }
  }
  if (flags.Switch("cni")) return base::Unimplemented("flag --cni is not in this ctr yet");
  RETURN_IF_ERROR(CheckIdMappings(invocation, flags));
  return CheckNamespaces(invocation);
}

absl::StatusOr<runtime::SpecMount> ParseMount(std::string_view text) {
  runtime::SpecMount mount;
  while (!text.empty()) {
    const std::string_view field = text.substr(0, text.find(','));
    text.remove_prefix(std::min(field.size() + 1, text.size()));
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos) {
      return base::Unknown("invalid mount specification: expected key=val");
    }
    const std::string_view key = field.substr(0, equals);
    const std::string value(field.substr(equals + 1));
    if (key == "type") {
      mount.type = value;
    } else if (key == "source" || key == "src") {
      mount.source = value;
    } else if (key == "destination" || key == "dst") {
      mount.destination = value;
    } else if (key == "options") {
      for (size_t start = 0; start <= value.size();) {
        const size_t end = std::min(value.find(':', start), value.size());
        mount.options.push_back(value.substr(start, end - start));
        start = end + 1;
      }
    } else {
      return base::Unknown("mount option {} not supported", base::Quote(key));
    }
  }
  return mount;
}

absl::StatusOr<std::vector<runtime::IdMapping>> ParseIdMappings(
    const std::vector<std::string>& texts) {
  const auto malformed = [] {
    return base::Unknown("user namespace mappings require the format `container-id:host-id:size`");
  };
  std::vector<runtime::IdMapping> mappings;
  for (const std::string& text : texts) {
    uint32_t numbers[3] = {};
    const char* at = text.c_str();
    for (int i = 0; i < 3; ++i) {
      char* end = nullptr;
      if (*at < '0' || *at > '9') return malformed();
      const uint64_t value = std::strtoull(at, &end, 0);
      if (value > UINT32_MAX || *end != (i < 2 ? ':' : '\0')) return malformed();
      numbers[i] = static_cast<uint32_t>(value);
      at = end + 1;
    }
    mappings.push_back({numbers[0], numbers[1], numbers[2]});
  }
  if (mappings.empty()) return malformed();
  return mappings;
}

absl::StatusOr<runtime::Spec> MakeSpec(const Invocation& invocation, const SpecSource& source) {
  const Flags flags{invocation, IsRun(invocation)};
  const auto labels = ParseLabels(invocation.List("label"), "true");
  if (const std::string file = invocation.Text("config"); !file.empty()) {
    ASSIGN_OR_RETURN(const std::string json, ReadGivenFile(file));
    ASSIGN_OR_RETURN(runtime::Spec spec, runtime::Spec::Parse(json));
    for (const auto& [key, value] : labels) spec.SetAnnotation(key, value);
    return spec;
  }
  runtime::Spec spec = runtime::Spec::Default(source.client->namespace_name(), source.container_id);
  spec.AllowDefaultDevices();
  ASSIGN_OR_RETURN(const auto environment, EnvironmentOf(invocation));
  spec.MergeEnvironment(environment);
  std::vector<runtime::SpecMount> mounts;
  for (const std::string& text : invocation.List("mount")) {
    ASSIGN_OR_RETURN(runtime::SpecMount mount, ParseMount(text));
    mounts.push_back(std::move(mount));
  }
  if (!mounts.empty()) spec.AddMounts(mounts);
  RETURN_IF_ERROR(ApplyImageOrRootfs(invocation, source, flags, spec));
  if (invocation.Switch("read-only")) spec.MakeRootReadOnly();
  RETURN_IF_ERROR(ApplyProcessFlags(invocation, source, spec));
  RETURN_IF_ERROR(ApplyPrivileges(invocation, flags, spec));
  if (invocation.Switch("net-host")) spec.UseHostNetwork(runtime::HostName());
  for (const auto& [key, value] : ParseLabels(invocation.List("annotation"), "")) {
    spec.SetAnnotation(key, value);
  }
  spec.AddCapabilities(invocation.List("cap-add"));
  spec.DropCapabilities(invocation.List("cap-drop"));
  RETURN_IF_ERROR(ApplyProfiles(invocation, spec));
  ApplyCpu(invocation, flags, spec);
  ApplyRest(invocation, flags, spec);
  RETURN_IF_ERROR(ApplyDevices(invocation, spec));
  if (const std::string mode = invocation.Text("rootfs-propagation"); !mode.empty()) {
    spec.SetRootfsPropagation(mode);
  }
  if (const std::string name = invocation.Text("rdt-class"); !name.empty()) spec.SetRdtClass(name);
  if (const std::string name = invocation.Text("hostname"); !name.empty()) spec.SetHostname(name);
  RETURN_IF_ERROR(ApplyLimits(flags, spec));
  for (const auto& [key, value] : labels) spec.SetAnnotation(key, value);
  return spec;
}

absl::StatusOr<containerd::runc::v1::Options> RuncOptions(const Invocation& invocation) {
  const Flags flags{invocation, IsRun(invocation)};
  containerd::runc::v1::Options options;
  const bool is_runc = invocation.Text("runtime") == kDefaultRuntime;
  if (const std::string binary = invocation.Text("runc-binary"); !binary.empty()) {
    if (!is_runc) {
      return base::Unknown("specifying runc-binary is only supported for {}",
                           base::Quote(kDefaultRuntime));
    }
    options.set_binary_name(binary);
  }
  if (invocation.Switch("runc-systemd-cgroup")) {
    if (!is_runc) {
      return base::Unknown("specifying runc-systemd-cgroup is only supported for {}",
                           base::Quote(kDefaultRuntime));
    }
    if (flags.Text("cgroup").empty()) {
      return base::Unknown("option --runc-systemd-cgroup requires --cgroup to be set");
    }
    options.set_systemd_cgroup(true);
  }
  if (const std::string root = invocation.Text("runc-root"); !root.empty()) options.set_root(root);
  return options;
}

}  // namespace ctrd::ctr
