// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/apparmor_profile.h"

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/identifiers.h"
#include "base/process.h"
#include "base/status.h"

namespace ctrd::runtime {
namespace {

constexpr char kLoadedProfiles[] = "/sys/kernel/security/apparmor/profiles";
constexpr char kConfiguration[] = "/etc/apparmor.d/";
constexpr absl::Duration kParserLimit = absl::Seconds(30);

// Below /proc only processes' own folders may be written, and of sys/ what is namespaced.
constexpr char kRules[] = R"(
  network,
  capability,
  file,
  umount,

  signal (receive) peer={daemon},
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer={name},

  deny mount,
  deny @{{PROC}}/* w,
  deny @{{PROC}}/{{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}}/** w,
  deny @{{PROC}}/sys/[^k]** w,
  deny @{{PROC}}/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/mem rwklx,
  deny @{{PROC}}/kmem rwklx,
  deny @{{PROC}}/kcore rwklx,

  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,

  ptrace (trace,tracedby,read,readby) peer={name},
)";

absl::StatusOr<bool> IsLoaded(const std::string& name) {
  auto profiles = base::ReadFile(kLoadedProfiles);
  if (!profiles.ok()) {
    return absl::IsNotFound(profiles.status())
               ? base::Unknown("open {}: no such file or directory", kLoadedProfiles)
               : profiles.status();
  }
  return profiles->starts_with(name + " ") ||
         profiles->find("\n" + name + " ") != std::string::npos;
}

}  // namespace

AppArmorConditions AppArmorConditions::Host() {
  const std::string folder = kConfiguration;
  AppArmorConditions conditions;
  conditions.has_abi = base::Exists(folder + "abi/3.0");
  conditions.has_tunables = base::Exists(folder + "tunables/global");
  conditions.has_base = base::Exists(folder + "abstractions/base");
  if (const auto own = base::ReadFile("/proc/self/attr/current", 4096); own.ok()) {
    // "name (mode)", or "unconfined".
    const std::string name = own->substr(0, own->find_first_of(" \n"));
    if (!name.empty()) conditions.daemon_profile = name;
  }
  return conditions;
}

absl::StatusOr<std::string> DefaultAppArmorProfile(std::string_view name,
                                                   const AppArmorConditions& conditions) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (name.empty() || name.find_first_not_of(kAllowed) != std::string_view::npos) {
    return base::InvalidArgument("{} is no name for an AppArmor profile", base::Quote(name));
  }
  std::string text;
  if (conditions.has_abi) text += "abi <abi/3.0>,\n";
  text += conditions.has_tunables ? "#include <tunables/global>\n" : "@{PROC}=/proc/\n";
  text += fmt::format("\nprofile {} flags=(attach_disconnected,mediate_deleted) {{\n", name);
  if (conditions.has_base) text += "  #include <abstractions/base>\n";
  text += fmt::format(fmt::runtime(kRules), fmt::arg("daemon", conditions.daemon_profile),
                      fmt::arg("name", name));
  return text + "}\n";
}

absl::Status EnsureDefaultAppArmorProfile(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string profile,
                   DefaultAppArmorProfile(name, AppArmorConditions::Host()));
  ASSIGN_OR_RETURN(const bool loaded, IsLoaded(name));
  if (loaded) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string folder, base::MakeTempDirectory("/tmp", "apparmor-"));
  absl::Status status = base::WriteFileAtomically(folder + "/profile", profile, 0600);
  if (status.ok()) {
    const auto result = base::Run({.argv = {"apparmor_parser", "-Kr", folder + "/profile"},
                                   .environment = base::CurrentEnvironment(),
                                   .new_process_group = true},
                                  "", absl::Now() + kParserLimit);
    status = result.status();
    if (status.ok() && result->exit_code != 0) {
      status = base::Unknown("parser error({})", result->output);
    }
  }
  (void)base::RemoveTree(folder);  // The profile is loaded, or the first error counts.
  return base::Annotate(status, "load apparmor profile " + name);
}

}  // namespace ctrd::runtime
