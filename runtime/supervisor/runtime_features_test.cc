// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/runtime_features.h"

#include "base/testing/status_matchers.h"
#include "base/wire.h"

namespace ctrd::runtime {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

TEST(RuntimeFeaturesTest, MountsThatMapIdsAreFound) {
  EXPECT_TRUE(UsesIdMappedMounts(R"({"mounts":[{},{"uidMappings":[{"hostID":1}]}]})"));
  EXPECT_TRUE(UsesIdMappedMounts(R"({"mounts":[{"gidMappings":[{}]}]})"));
  EXPECT_TRUE(UsesIdMappedMounts(R"({"mounts":[{"options":["ro","idmap"]}]})"));
  EXPECT_TRUE(UsesIdMappedMounts(R"({"mounts":[{"options":["ridmap"]}]})"));
}

TEST(RuntimeFeaturesTest, AUserNamespaceAloneIsNone) {
  EXPECT_FALSE(UsesIdMappedMounts(R"({"linux":{"uidMappings":[{"hostID":1}]},"mounts":[{}]})"));
  EXPECT_FALSE(UsesIdMappedMounts(R"({"mounts":[{"uidMappings":[],"options":["noidmap"]}]})"));
  EXPECT_FALSE(UsesIdMappedMounts(R"({"mounts":"idmap","x":["idmap"]})"));
  EXPECT_FALSE(UsesIdMappedMounts("\"idmap\""));
  EXPECT_FALSE(UsesIdMappedMounts("not json: uidMappings\""));
  EXPECT_FALSE(UsesIdMappedMounts(""));
}

std::string Info(const std::string& features) {
  return base::WireWriter().Bytes(1, "name").Any(4, {.type_url = "t", .value = features}).Take();
}

TEST(RuntimeFeaturesTest, TheRuntimeMustSaySo) {
  EXPECT_THAT(
      CheckIdMappedMounts(Info(R"({"linux":{"mountExtensions":{"idmap":{"enabled":true}}}})")),
      IsOk());
  for (const char* features :
       {R"({"linux":{"mountExtensions":{"idmap":{"enabled":false}}}})",
        R"({"linux":{"mountExtensions":{"idmap":{}}}})", R"({"linux":[]})", "{}", "", "{"}) {
    EXPECT_THAT(CheckIdMappedMounts(Info(features)),
                StatusIs(absl::StatusCode::kUnknown, StartsWith("idmap mounts not supported: ")))
        << features;
  }
  EXPECT_THAT(CheckIdMappedMounts("\xff"), StatusIs(absl::StatusCode::kUnknown));
}

TEST(RuntimeFeaturesTest, AShimMaySayWhichMountsItMakes) {
  const auto info = [](const std::string& types) {
    return base::WireWriter()
        .Bytes(1, "name")
        .StringMap(5, {{"containerd.io/runtime-allow-mounts", types}, {"other", "x"}})
        .Take();
  };
  EXPECT_THAT(MountsOfRuntime(info("erofs,,format/*")), ElementsAre("erofs", "format/*"));
  EXPECT_THAT(MountsOfRuntime(info("")), IsEmpty());
  EXPECT_THAT(MountsOfRuntime("\xff"), IsEmpty());
}

}  // namespace
}  // namespace ctrd::runtime
