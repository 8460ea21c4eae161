// SPDX-License-Identifier: Apache-2.0
// Specifications with a member of another type than the OCI document says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"
#include "nlohmann/json.hpp"
#include "runtime/spec/spec.h"

namespace ctrd::runtime {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

// A specification that has every member that a Spec reads or changes.
Json Whole() {
  Spec spec = Spec::Default("ns", "id");
  spec.AllowDefaultDevices();
  spec.SetArguments({"sh"});
  spec.UseTerminal();
  spec.SetUser({.uid = 1, .gid = 2, .additional_gids = {3}});
  spec.SetHostname("h");
  spec.SetAnnotation("k", "v");
  spec.SetRlimit("RLIMIT_CORE", 1, 2);
  spec.MakeRootReadOnly();
  spec.AddDeviceNode({});
  spec.SetCpuQuota(1, 2);
  spec.SetCpuShares(3);
  spec.SetCpuset("0", "0");
  spec.SetMemoryLimit(4);
  spec.SetAppArmorProfile("a");
  spec.SetUserNamespace({{0, 1, 2}}, {{0, 1, 2}});
  spec.SetRootfsPropagation("shared");
  spec.SetRdtClass("c");
  Json json = Json::parse(spec.ToJson());
  json["root"]["path"] = "rootfs";
  json["linux"]["mountLabel"] = "system_u:object_r:a:s0";
  json["linux"]["seccomp"] = {{"defaultAction", "SCMP_ACT_ERRNO"}};
  json["linux"]["sysctl"] = {{"a", "b"}};
  return json;
}

// Everything that a client does to a specification.
void ChangeEverything(Spec& spec) {
  spec.MergeEnvironment({"A=b", "C"});
  spec.AddMounts({{"bind", "/a", "/b", {"rbind"}}});
  spec.ApplyImage({.environment = {"D=e"}, .entrypoint = {"/x"}});
  spec.AllowDefaultDevices();
  spec.AddDeviceNode({});
  spec.AllowDevice({});
  spec.SetRlimit("RLIMIT_CORE", 1, 2);
  spec.AllowNewPrivileges();
  spec.AddCapabilities({"CAP_CHOWN"});
  spec.DropCapabilities({"CAP_CHOWN"});
  spec.MakePrivileged({"CAP_CHOWN"});
  spec.UseHostNetwork("h");
  spec.SetNamespace("network", "/n");
  spec.SetUserNamespace({{0, 1, 2}}, {});
  spec.SetAnnotation("k", "w");
  spec.SetCgroupsPath("");
  spec.SetCpuQuota(1, 2);
  spec.SetCpuset("0", "1");
  spec.SetMemoryLimit(1);
  spec.SetRdtClass("d");
  spec.MakeRootReadOnly();
  spec.UseTerminal();
}

void ReadEverything(const Spec& spec) {
  (void)spec.ExecProcessJson({.arguments = {"x"}, .terminal = true, .user = UserIds{}});
  (void)spec.HasTerminal();
  (void)spec.RootPath();
  (void)spec.MountLabel();
  (void)spec.BoundingCapabilities();
  const auto again = Spec::Parse(spec.ToJson());
  ASSERT_THAT(again.status(), base::IsOk()) << spec.ToJson();
  ASSERT_EQ(again->ToJson(), spec.ToJson());
}

const std::vector<Json>& Values() {
  static const std::vector<Json> values = {
      nullptr,
      true,
      0,
      -1,
      1.5,
      18446744073709551615U,
      "",
      "text",
      Json::array(),
      Json::array({nullptr}),
      Json::array({1, "a", Json::array(), Json::object()}),
      Json::object(),
      Json{{"type", 1}, {"destination", nullptr}, {"hard", "x"}},
  };
  return values;
}

std::vector<Json::json_pointer> EveryMember(const Json& document,
                                            const Json::json_pointer& at = Json::json_pointer()) {
  std::vector<Json::json_pointer> members;
  if (!document.is_structured()) return members;
  for (const auto& [key, value] : document.items()) {
    members.push_back(document.is_array() ? at / static_cast<size_t>(std::stoul(key)) : at / key);
    const auto inner = EveryMember(value, members.back());
    members.insert(members.end(), inner.begin(), inner.end());
  }
  return members;
}

TEST(SpecShapeTest, WhateverIsInThePlaceOfAMember) {
  const Json whole = Whole();
  int taken = 0;
  int refused = 0;
  for (const Json::json_pointer& member : EveryMember(whole)) {
    for (const Json& value : Values()) {
      Json document = whole;
      document[member] = value;
      SCOPED_TRACE(member.to_string() + " = " + value.dump());
      auto spec = Spec::Parse(document.dump());
      ++(spec.ok() ? taken : refused);
      if (!spec.ok()) continue;
      ASSERT_NO_FATAL_FAILURE(ReadEverything(*spec));
      ChangeEverything(*spec);
      ASSERT_NO_FATAL_FAILURE(ReadEverything(*spec));
    }
  }
  EXPECT_GT(taken, 300);
  EXPECT_GT(refused, 1000);
}

TEST(SpecShapeTest, TellsTheMemberOfAnotherType) {
  const auto message = [](std::string_view json) {
    return std::string(Spec::Parse(json).status().message());
  };
  EXPECT_EQ(
      message(R"({"process":1})"),
      "cannot unmarshal number into process of the runtime specification, which is an object");
  EXPECT_EQ(message(R"({"process":{"args":["a",{}]}})"),
            "cannot unmarshal object into process.args[1] of the runtime specification, which is a "
            "string");
  EXPECT_EQ(message(R"({"mounts":{}})"),
            "cannot unmarshal object into mounts of the runtime specification, which is a list");
  EXPECT_THAT(message(R"({"annotations":{"k":1}})"), HasSubstr("number into annotations.k of"));
  EXPECT_EQ(message("[]"), "the runtime specification is no JSON object");
}

TEST(SpecShapeTest, NullCountsAsAbsent) {
  ASSERT_OK_AND_ASSIGN(Spec spec,
                       Spec::Parse(R"({"process":null,"linux":{"resources":null},"x":null})"));
  EXPECT_EQ(spec.ToJson(), R"({"linux":{},"x":null})");
  spec.SetMemoryLimit(1);
  EXPECT_EQ(spec.ToJson(), R"({"linux":{"resources":{"memory":{"limit":1}}},"x":null})");
}

TEST(SpecShapeTest, RefusesWhatIsNestedTooDeep) {
  std::string deep = R"({"x":)";
  for (int i = 0; i < 2'000'000; ++i) deep += '[';
  EXPECT_FALSE(Spec::Parse(deep).ok());
  for (int i = 0; i < 2'000'000; ++i) deep += ']';
  EXPECT_FALSE(Spec::Parse(deep + "}").ok());
}

TEST(SpecShapeTest, MountLabelIsTheSpecificationsOwn) {
  ASSERT_OK_AND_ASSIGN(const Spec spec, Spec::Parse(R"({"linux":{"mountLabel":"u:r:t:s0"}})"));
  EXPECT_EQ(spec.MountLabel(), "u:r:t:s0");
  EXPECT_EQ(Spec::Default("ns", "id").MountLabel(), "");
}

}  // namespace
}  // namespace ctrd::runtime
