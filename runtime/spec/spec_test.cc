// SPDX-License-Identifier: Apache-2.0
#include "runtime/spec/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"
#include "nlohmann/json.hpp"
#include "runtime/spec/seccomp_profile.h"

namespace ctrd::runtime {
namespace {

using testing::ElementsAre;
using Json = nlohmann::ordered_json;

Json Show(const Spec& spec) { return Json::parse(spec.ToJson()); }

TEST(SpecTest, DefaultGivesNoInheritableCapabilities) {
  const Json capabilities = Show(Spec::Default("ns", "id"))["process"]["capabilities"];
  EXPECT_FALSE(capabilities.contains("inheritable"));
  EXPECT_FALSE(capabilities.contains("ambient"));
  EXPECT_EQ(capabilities["bounding"].size(), 14U);
}

TEST(SpecTest, AddedAndPrivilegedCapabilitiesAreNeverInheritable) {
  Spec spec = Spec::Default("ns", "id");
  spec.AddCapabilities({"CAP_SYS_ADMIN"});
  spec.MakePrivileged({"CAP_CHOWN", "CAP_BPF"});
  const Json capabilities = Show(spec)["process"]["capabilities"];
  EXPECT_FALSE(capabilities.contains("inheritable"));
  EXPECT_EQ(capabilities["effective"], Json({"CAP_CHOWN", "CAP_BPF"}));
}

TEST(SpecTest, PowerCountersAreMasked) {
  const Json masked = Show(Spec::Default("ns", "id"))["linux"]["maskedPaths"];
  EXPECT_NE(std::find(masked.begin(), masked.end(), "/sys/devices/virtual/powercap"), masked.end());
}

TEST(SpecTest, CgroupPathIsNamespaceAndId) {
  EXPECT_EQ(Show(Spec::Default("ns", "id"))["linux"]["cgroupsPath"], "/ns/id");
  EXPECT_EQ(Show(Spec::Default("ns", ""))["linux"]["cgroupsPath"], "/ns");
}

TEST(SpecTest, KeysStandInTheOrderOfTheDocumentHoweverTheyWereSet) {
  Spec spec = Spec::Default("ns", "id");
  spec.SetHostname("h");
  spec.SetArguments({"sh"});
  spec.UseTerminal();
  const std::string json = spec.ToJson();
  EXPECT_LT(json.find("\"terminal\""), json.find("\"user\""));
  EXPECT_LT(json.find("\"args\""), json.find("\"env\""));
  EXPECT_LT(json.find("\"env\""), json.find("\"cwd\""));
  EXPECT_LT(json.find("\"hostname\""), json.find("\"mounts\""));
}

TEST(SpecTest, WhatAFileHasAndWeDoNotKnowIsKept) {
  ASSERT_OK_AND_ASSIGN(Spec spec, Spec::Parse(R"({"x":1,"ociVersion":"1.0.2","vm":{"a":2}})"));
  EXPECT_EQ(spec.ToJson(), R"({"ociVersion":"1.0.2","x":1,"vm":{"a":2}})");
}

TEST(SpecTest, ImageEnvironmentYieldsToWhatTheUserSet) {
  Spec spec = Spec::Default("ns", "id");
  spec.MergeEnvironment({"A=user", "B=user", "NOTHING"});
  spec.ApplyImage({.environment = {"PATH=/bin", "A=image"}, .command = {"sh"}});
  EXPECT_EQ(Show(spec)["process"]["env"], Json({"PATH=/bin", "A=user", "B=user"}));
  EXPECT_EQ(Show(spec)["process"]["args"], Json({"sh"}));
}

TEST(SpecTest, ImageWithoutEnvironmentGetsAPath) {
  Spec spec = Spec::Default("ns", "id");
  spec.ApplyImage({});
  EXPECT_EQ(Show(spec)["process"]["env"], Json::array({kDefaultPath}));
  EXPECT_EQ(Show(spec)["process"]["cwd"], "/");
}

TEST(MergeEnvironmentTest, KeyWithoutValueRemoves) {
  EXPECT_THAT(MergeEnvironment({"A=1", "B=2", "C=3"}, {"B", "C=4", "D="}),
              ElementsAre("A=1", "C=4", "D="));
}

TEST(SpecTest, MountsOfTheSameDestinationAreReplaced) {
  Spec spec = Spec::Default("ns", "id");
  spec.AddMounts({{"bind", "/a", "/run", {"rbind"}}, {"bind", "/b", "/new", {}}});
  const Json mounts = Show(spec)["mounts"];
  EXPECT_EQ(mounts.size(), 8U);
  EXPECT_EQ(mounts[6]["source"], "/a");
  EXPECT_FALSE(mounts[7].contains("options"));
}

TEST(SpecTest, HostNetworkHasNoNetworkNamespace) {
  Spec spec = Spec::Default("ns", "id");
  spec.UseHostNetwork("host");
  const Json shown = Show(spec);
  for (const Json& entry : shown["linux"]["namespaces"]) EXPECT_NE(entry["type"], "network");
  EXPECT_EQ(shown["process"]["env"], Json({"HOSTNAME=host"}));
}

TEST(SpecTest, PrivilegedLosesMasksAndProfilesButKeepsNoNewPrivileges) {
  Spec spec = Spec::Default("ns", "id");
  spec.SetAppArmorProfile("p");
  spec.MakePrivileged({"CAP_CHOWN"});
  spec.AllowAllDevices();
  const Json shown = Show(spec);
  EXPECT_FALSE(shown["linux"].contains("maskedPaths"));
  EXPECT_FALSE(shown["process"].contains("apparmorProfile"));
  EXPECT_EQ(shown["process"]["noNewPrivileges"], true);
  EXPECT_EQ(shown["linux"]["resources"]["devices"].size(), 1U);
  EXPECT_EQ(shown["mounts"][5]["options"][3], "rw");
}

TEST(SpecTest, NamespaceToJoinReplacesTheNewOne) {
  Spec spec = Spec::Default("ns", "id");
  spec.SetNamespace("pid", "/proc/1/ns/pid");
  spec.SetNamespace("cgroup", "");
  const Json namespaces = Show(spec)["linux"]["namespaces"];
  EXPECT_EQ(namespaces[0]["path"], "/proc/1/ns/pid");
  EXPECT_EQ(namespaces[5], Json({{"type", "cgroup"}}));
}

TEST(SpecTest, ExecInheritsEnvironmentAndCapabilities) {
  Spec spec = Spec::Default("ns", "id");
  spec.ApplyImage({.environment = {"A=1"}, .command = {"sh"}, .working_directory = "/w"});
  const Json process = Json::parse(spec.ExecProcessJson({.arguments = {"ls"}}));
  EXPECT_EQ(process["args"], Json({"ls"}));
  EXPECT_EQ(process["env"], Json({"A=1"}));
  EXPECT_EQ(process["cwd"], "/w");
  EXPECT_TRUE(process.contains("capabilities"));
  EXPECT_FALSE(process["capabilities"].contains("inheritable"));
}

SeccompConditions Amd64(std::vector<std::string> capabilities) {
  return {"amd64", 6, 1, std::move(capabilities)};
}

TEST(SeccompTest, DefaultCapabilitiesGiveTheKnownRules) {
  const Json profile =
      Json::parse(DefaultSeccompProfile(Amd64(Spec::Default("ns", "id").BoundingCapabilities())));
  const Json& rules = profile["syscalls"];
  ASSERT_EQ(rules.size(), 14U);  // List, 3 socket, 5 personality, ptrace, amd64, chroot, 2 clone.
  EXPECT_EQ(rules[0]["names"].size(), 363U);
  EXPECT_EQ(rules[10]["names"], Json({"arch_prctl", "modify_ldt"}));
  EXPECT_EQ(rules[11]["names"], Json({"chroot"}));
  EXPECT_EQ(rules[12]["args"][0]["value"], 2114060288U);
  EXPECT_EQ(rules[13]["errnoRet"], 38);
}

TEST(SeccompTest, AdministratorMayCloneNamespaces) {
  const Json profile = Json::parse(DefaultSeccompProfile(Amd64({"CAP_SYS_ADMIN"})));
  EXPECT_EQ(profile["syscalls"].size(), 12U);
}

TEST(SeccompTest, OldKernelsDoNotGetPtrace) {
  SeccompConditions conditions = Amd64({});
  conditions.kernel_major = 4;
  conditions.kernel_minor = 7;
  EXPECT_EQ(DefaultSeccompProfile(conditions).find("\"ptrace\""), std::string::npos);
}

TEST(SeccompTest, NoRuleAllowsAlgAndVsockSockets) {
  const Json profile = Json::parse(DefaultSeccompProfile(Amd64({})));
  EXPECT_EQ(profile["syscalls"][0].dump().find("\"socket\""), std::string::npos);
}

}  // namespace
}  // namespace ctrd::runtime
