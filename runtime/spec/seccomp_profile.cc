// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/seccomp_profile.h"

#include <sys/utsname.h>

#include <cstdio>

#include "nlohmann/json.hpp"
#include "runtime/spec/host.h"
#include "runtime/spec/seccomp_table.h"

namespace ctrd::runtime {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kNamespaceFlags = 0x7e020000;  // CLONE_NEW*: what clone may not be asked for.
constexpr int kEnosys = 38;

Json Rule(const std::vector<std::string_view>& names, std::string_view action = "SCMP_ACT_ALLOW") {
  return Json{{"names", names}, {"action", action}};
}

Json RuleWithArgument(std::string_view name, int index, uint64_t value,
                      std::string_view operation) {
  Json rule = Rule({name});
  rule["args"] = Json::array({Json{{"index", index}, {"value", value}, {"op", operation}}});
  return rule;
}

std::vector<std::string_view> Architectures(std::string_view architecture) {
  if (architecture == "amd64") return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  if (architecture == "arm64") return {"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"};
  if (architecture == "mips64")
    return {"SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32"};
  if (architecture == "mips64le") {
    return {"SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32"};
  }
  if (architecture == "s390x") return {"SCMP_ARCH_S390", "SCMP_ARCH_S390X"};
  if (architecture == "riscv64") return {"SCMP_ARCH_RISCV64"};
  if (architecture == "loong64") return {"SCMP_ARCH_LOONGARCH64"};
  return {};
}

void AddRulesWithoutSysAdmin(const std::string& architecture, Json& rules) {
  const bool flags_second = architecture == "s390" || architecture == "s390x";
  rules.push_back(
      RuleWithArgument("clone", flags_second ? 1 : 0, kNamespaceFlags, "SCMP_CMP_MASKED_EQ"));
  // The flags of clone3 are in memory, where a filter cannot look: ENOSYS makes libraries fall
  // back to clone.
  Json clone3 = Rule({"clone3"}, "SCMP_ACT_ERRNO");
  clone3["errnoRet"] = kEnosys;
  rules.push_back(std::move(clone3));
}

}  // namespace

SeccompConditions SeccompConditions::Host(std::vector<std::string> bounding_capabilities) {
  SeccompConditions conditions;
  conditions.architecture = HostArchitecture();
  conditions.bounding_capabilities = std::move(bounding_capabilities);
  utsname names{};
  if (::uname(&names) == 0) {
    (void)std::sscanf(names.release, "%d.%d", &conditions.kernel_major, &conditions.kernel_minor);
  }
  return conditions;
}

std::string DefaultSeccompProfile(const SeccompConditions& conditions) {
  Json rules = Json::array();
  rules.push_back(Rule(AlwaysAllowedSyscalls()));
  // Everything but AF_ALG (38) and AF_VSOCK (40). Three rules of one condition each: runtimes turn
  // several conditions on one argument into alternatives.
  rules.push_back(RuleWithArgument("socket", 0, 38, "SCMP_CMP_LT"));
  rules.push_back(RuleWithArgument("socket", 0, 39, "SCMP_CMP_EQ"));
  rules.push_back(RuleWithArgument("socket", 0, 40, "SCMP_CMP_GT"));
  for (uint64_t persona : {0x0U, 0x8U, 0x20000U, 0x20008U, 0xffffffffU}) {
    rules.push_back(RuleWithArgument("personality", 0, persona, "SCMP_CMP_EQ"));
  }
  if (std::pair(conditions.kernel_major, conditions.kernel_minor) >= std::pair(4, 8)) {
    rules.push_back(Rule({"process_vm_readv", "process_vm_writev", "ptrace"}));
  }
  for (const ConditionalSyscalls& syscalls : SyscallsByArchitecture()) {
    if (syscalls.condition == conditions.architecture) rules.push_back(Rule(syscalls.names));
  }
  bool is_admin = false;
  for (const std::string& capability : conditions.bounding_capabilities) {
    if (capability == "CAP_SYS_ADMIN") is_admin = true;
    for (const ConditionalSyscalls& syscalls : SyscallsByCapability()) {
      if (syscalls.condition == capability) rules.push_back(Rule(syscalls.names));
    }
  }
  if (!is_admin) AddRulesWithoutSysAdmin(conditions.architecture, rules);
  Json profile{{"defaultAction", "SCMP_ACT_ERRNO"}};
  if (auto architectures = Architectures(conditions.architecture); !architectures.empty()) {
    profile["architectures"] = architectures;
  }
  profile["syscalls"] = std::move(rules);
  return profile.dump();
}

}  // namespace ctrd::runtime
