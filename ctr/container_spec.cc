// SPDX-License-Identifier: Apache-2.0
// From flags to a runtime specification.
#include <algorithm>

#include "base/identifiers.h"
#include "ctr/container_flags.h"
#include "ctr/flag_values.h"
#include "runtime/spec/apparmor_profile.h"
#include "runtime/spec/seccomp_profile.h"

namespace ctrd::ctr {
namespace {

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

absl::Status ApplyMounts(const Invocation& invocation, runtime::Spec& spec) {
  std::vector<runtime::SpecMount> mounts;
  for (const std::string& text : invocation.List("mount")) {
    ASSIGN_OR_RETURN(mounts.emplace_back(), ParseMount(text));
  }
  if (!mounts.empty()) spec.AddMounts(mounts);
  return absl::OkStatus();
}

absl::Status ApplyPrivileges(const Invocation& invocation, const RunFlags& flags,
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

absl::Status ApplySeccompFile(const std::string& file, runtime::Spec& spec) {
  const auto profile = ReadGivenFile(file);
  if (!profile.ok()) {
    return base::Annotate(profile.status(), "cannot load seccomp profile " + base::Quote(file));
  }
  return base::Annotate(spec.SetSeccompProfile(*profile),
                        "decoding seccomp profile failed " + base::Quote(file));
}

absl::Status ApplyProfiles(const Invocation& invocation, runtime::Spec& spec) {
  if (invocation.Switch("seccomp")) {
    if (const std::string file = invocation.Text("seccomp-profile"); !file.empty()) {
      RETURN_IF_ERROR(ApplySeccompFile(file, spec));
    } else {
      RETURN_IF_ERROR(spec.SetSeccompProfile(runtime::DefaultSeccompProfile(
          runtime::SeccompConditions::Host(spec.BoundingCapabilities()))));
    }
  }
  if (const std::string name = invocation.Text("apparmor-profile"); !name.empty()) {
    spec.SetAppArmorProfile(name);
  }
  if (const std::string name = invocation.Text("apparmor-default-profile"); !name.empty()) {
    RETURN_IF_ERROR(runtime::EnsureDefaultAppArmorProfile(name));
    spec.SetAppArmorProfile(name);
  }
  return absl::OkStatus();
}

void ApplyCpu(const Invocation& invocation, const RunFlags& flags, runtime::Spec& spec) {
  if (flags.is_run()) {
    if (const double cpus = flags.Real("cpus"); cpus > 0) {
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

absl::Status ApplyLimits(const RunFlags& flags, runtime::Spec& spec) {
  const std::string text = flags.Text("rlimit-nofile");
  if (text.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Limit limit, ParseLimit(text));
  spec.SetRlimit("RLIMIT_NOFILE", limit.soft, limit.hard);
  return absl::OkStatus();
}

absl::Status JoinNamespaces(const Invocation& invocation, runtime::Spec& spec) {
  for (const std::string& text : invocation.List("with-ns")) {
    ASSIGN_OR_RETURN(const NamespaceToJoin wanted, ParseNamespace(text));
    spec.SetNamespace(wanted.type, wanted.path);
  }
  return absl::OkStatus();
}

absl::Status ApplyImageOrRootfs(const Invocation& invocation, const SpecSource& source,
                                const RunFlags& flags, runtime::Spec& spec) {
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

void ApplyCgroup(const Invocation& invocation, const RunFlags& flags, runtime::Spec& spec) {
  if (flags.IsSet("cgroup")) spec.SetCgroupsPath(invocation.Text("cgroup"));
  if (const int64_t limit = invocation.Integer("memory-limit"); limit != 0) {
    spec.SetMemoryLimit(limit);
  }
}

absl::StatusOr<runtime::Spec> SpecOfFile(const Invocation& invocation) {
  const std::string file = invocation.Text("config");
  auto json = ReadGivenFile(file);
  if (!json.ok()) return base::Annotate(json.status(), "cannot load spec config file");
  auto spec = runtime::Spec::Parse(*json);
  if (!spec.ok()) return base::Annotate(spec.status(), "decoding spec config file failed");
  return spec;
}

absl::StatusOr<runtime::Spec> SpecOfFlags(const Invocation& invocation, const SpecSource& source) {
  const RunFlags flags(invocation);
  runtime::Spec spec = runtime::Spec::Default(source.client->namespace_name(), source.container_id);
  spec.AllowDefaultDevices();
  ASSIGN_OR_RETURN(const auto environment, EnvironmentOf(invocation));
  spec.MergeEnvironment(environment);
  RETURN_IF_ERROR(ApplyMounts(invocation, spec));
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
  RETURN_IF_ERROR(JoinNamespaces(invocation, spec));
  if (invocation.Switch("allow-new-privs")) spec.AllowNewPrivileges();
  ApplyCgroup(invocation, flags, spec);
  RETURN_IF_ERROR(ApplyDevices(invocation, spec));
  if (const std::string mode = invocation.Text("rootfs-propagation"); !mode.empty()) {
    spec.SetRootfsPropagation(mode);
  }
  if (const std::string name = invocation.Text("rdt-class"); !name.empty()) spec.SetRdtClass(name);
  if (const std::string name = invocation.Text("hostname"); !name.empty()) spec.SetHostname(name);
  RETURN_IF_ERROR(ApplyLimits(flags, spec));
  return spec;
}

}  // namespace

absl::StatusOr<runtime::Spec> MakeSpec(const Invocation& invocation, const SpecSource& source) {
  const bool from_file = !invocation.Text("config").empty();
  ASSIGN_OR_RETURN(runtime::Spec spec,
                   from_file ? SpecOfFile(invocation) : SpecOfFlags(invocation, source));
  for (const auto& [key, value] : ParseLabels(invocation.List("label"), "true")) {
    spec.SetAnnotation(key, value);
  }
  return spec;
}

}  // namespace ctrd::ctr
