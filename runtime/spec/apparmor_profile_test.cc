// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/apparmor_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/process.h"
#include "base/testing/status_matchers.h"

namespace ctrd::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(AppArmorProfileTest, DeniesWhatIsTheHosts) {
  ASSERT_OK_AND_ASSIGN(const std::string text, DefaultAppArmorProfile("box", {}));
  EXPECT_THAT(text, AllOf(HasSubstr("profile box flags=(attach_disconnected,mediate_deleted) {"),
                          HasSubstr("deny mount,"), HasSubstr("deny @{PROC}/sysrq-trigger rwklx,"),
                          HasSubstr("deny /sys/devices/virtual/powercap/** rwklx,"),
                          HasSubstr("ptrace (trace,tracedby,read,readby) peer=box,")));
}

TEST(AppArmorProfileTest, IncludesWhatTheSystemHas) {
  ASSERT_OK_AND_ASSIGN(const std::string bare, DefaultAppArmorProfile("box", {}));
  EXPECT_THAT(bare, AllOf(HasSubstr("@{PROC}=/proc/\n"), Not(HasSubstr("include"))));
  ASSERT_OK_AND_ASSIGN(const std::string full,
                       DefaultAppArmorProfile("box", {.has_abi = true,
                                                      .has_tunables = true,
                                                      .has_base = true,
                                                      .daemon_profile = "containerd"}));
  EXPECT_THAT(full, AllOf(HasSubstr("abi <abi/3.0>,\n"), HasSubstr("#include <tunables/global>\n"),
                          HasSubstr("#include <abstractions/base>\n"),
                          HasSubstr("signal (receive) peer=containerd,"),
                          Not(HasSubstr("@{PROC}=/proc/"))));
}

TEST(AppArmorProfileTest, ANameIsNoPieceOfPolicy) {
  for (const char* name : {"", "a b", "x {", "a\nmount,", "a/../b", "a\"b", "é"}) {
    EXPECT_FALSE(DefaultAppArmorProfile(name, {}).ok()) << name;
  }
}

TEST(AppArmorProfileTest, AKernelWithoutAppArmorIsAnError) {
  if (base::Exists("/sys/kernel/security/apparmor/profiles")) GTEST_SKIP() << "has AppArmor";
  EXPECT_EQ(base::MessageOf(EnsureDefaultAppArmorProfile("box")),
            "open /sys/kernel/security/apparmor/profiles: no such file or directory");
}

}  // namespace
}  // namespace ctrd::runtime
