// SPDX-License-Identifier: Apache-2.0
// The default profile through libseccomp, as a runtime puts it to use.
#include "runtime/spec/seccomp_profile.h"

#include <gtest/gtest.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <set>

#include "base/unique_fd.h"
#include "nlohmann/json.hpp"
#include "runtime/spec/host.h"
#include "runtime/spec/seccomp_table.h"

namespace ctrd::runtime {
namespace {

using Json = nlohmann::ordered_json;

// Calls that came to Linux after libseccomp 2.5.4, the oldest that we meet.
const std::set<std::string>& Newer() {
  static const std::set<std::string> names = {"cachestat",
                                              "fchmodat2",
                                              "futex_requeue",
                                              "futex_wait",
                                              "futex_wake",
                                              "getxattrat",
                                              "listmount",
                                              "listxattrat",
                                              "lsm_get_self_attr",
                                              "lsm_list_modules",
                                              "lsm_set_self_attr",
                                              "map_shadow_stack",
                                              "mseal",
                                              "removexattrat",
                                              "setxattrat",
                                              "statmount",
                                              "uretprobe",
                                              "riscv_hwprobe",
                                              "set_mempolicy_home_node"};
  return names;
}

uint32_t ActionOf(const Json& rule) {
  if (rule["action"] == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  EXPECT_EQ(rule["action"], "SCMP_ACT_ERRNO");
  return SCMP_ACT_ERRNO(rule.value("errnoRet", EPERM));
}

scmp_arg_cmp ComparisonOf(const Json& argument) {
  static const std::map<std::string, scmp_compare> kOperations = {
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  scmp_arg_cmp comparison{};
  comparison.arg = argument["index"].get<unsigned>();
  comparison.op = kOperations.at(argument["op"].get<std::string>());
  comparison.datum_a = argument["value"].get<uint64_t>();
  // For MASKED_EQ the first number is the mask, the second what must be left.
  comparison.datum_b = argument.value("valueTwo", uint64_t{0});
  return comparison;
}

// The size of the filter that `profile` makes on this machine; 0 if it makes none.
off_t FilterSize(const Json& profile) {
  scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ERRNO(EPERM));
  EXPECT_NE(filter, nullptr);
  for (const Json& name : profile.value("architectures", Json::array())) {
    static const std::map<std::string, uint32_t> kArchitectures = {
        {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
        {"SCMP_ARCH_X86", SCMP_ARCH_X86},
        {"SCMP_ARCH_X32", SCMP_ARCH_X32},
        {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
        {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64}};
    const auto known = kArchitectures.find(name.get<std::string>());
    if (known == kArchitectures.end()) continue;
    const int added = ::seccomp_arch_add(filter, known->second);
    EXPECT_TRUE(added == 0 || added == -EEXIST) << name;
  }
  for (const Json& rule : profile["syscalls"]) {
    std::vector<scmp_arg_cmp> arguments;
    for (const Json& argument : rule.value("args", Json::array())) {
      arguments.push_back(ComparisonOf(argument));
    }
    for (const Json& name : rule["names"]) {
      const int number = ::seccomp_syscall_resolve_name(name.get<std::string>().c_str());
      if (number == __NR_SCMP_ERROR) {
        EXPECT_TRUE(Newer().contains(name.get<std::string>())) << name << " is no system call";
        continue;  // As runtimes do.
      }
      EXPECT_EQ(::seccomp_rule_add_array(filter, ActionOf(rule), number,
                                         static_cast<unsigned>(arguments.size()), arguments.data()),
                0)
          << name;
    }
  }
  const base::UniqueFd program(::memfd_create("filter", MFD_CLOEXEC));
  EXPECT_EQ(::seccomp_export_bpf(filter, program.get()), 0);
  ::seccomp_release(filter);
  struct stat info {};
  EXPECT_EQ(::fstat(program.get(), &info), 0);
  return info.st_size;
}

TEST(SeccompProfileTest, EveryRuleMakesAFilter) {
  for (const std::vector<std::string>& capabilities :
       {std::vector<std::string>(), std::vector<std::string>{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}}) {
    EXPECT_GT(FilterSize(Json::parse(DefaultSeccompProfile(SeccompConditions::Host(capabilities)))),
              1000);
  }
}

TEST(SeccompProfileTest, EveryNameOfTheTablesIsASystemCall) {
  std::vector<ConditionalSyscalls> all = SyscallsByCapability();
  all.push_back({"", AlwaysAllowedSyscalls()});
  for (const ConditionalSyscalls& syscalls : all) {
    for (std::string_view name : syscalls.names) {
      EXPECT_TRUE(::seccomp_syscall_resolve_name(std::string(name).c_str()) != __NR_SCMP_ERROR ||
                  Newer().contains(std::string(name)))
          << name;
    }
  }
}

TEST(SeccompProfileTest, OtherArchitecturesHaveTheirOwnCallsAndNames) {
  const Json arm = Json::parse(DefaultSeccompProfile({"arm64", 6, 1, {}}));
  EXPECT_EQ(arm["architectures"], Json({"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"}));
  EXPECT_EQ(arm.dump().find("\"modify_ldt\""), std::string::npos);
  // The flags of clone are its second argument there.
  const Json mainframe = Json::parse(DefaultSeccompProfile({"s390x", 6, 1, {}}));
  for (const Json& rule : mainframe["syscalls"]) {
    if (rule["names"] == Json({"clone"})) {
      EXPECT_EQ(rule["args"][0]["index"], 1);
    }
  }
  EXPECT_FALSE(Json::parse(DefaultSeccompProfile({"ppc64le", 6, 1, {}})).contains("architectures"));
}

}  // namespace
}  // namespace ctrd::runtime
