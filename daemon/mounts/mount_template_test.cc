// SPDX-License-Identifier: Apache-2.0
#include "daemon/mounts/mount_template.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::mounts {
namespace {

using base::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

class MountTemplateTest : public testing::Test {
 protected:
  absl::StatusOr<std::string> Expanded(std::string_view text) { return Expand(text, active_); }
  std::string Text(std::string_view text) { return Expanded(text).value_or("an error"); }
  const std::vector<base::ActiveMount> active_ = {
      {.mount = {"erofs", "/images/a", "", {}}, .mount_point = "/m/0", .mounted_at = {}},
      {.mount = {"erofs", "/images/b", "sub", {}}, .mount_point = "/m/1", .mounted_at = {}},
      {.mount = {"ext4", "/images/c", "", {}}, .mount_point = "/m/2", .mounted_at = {}},
  };
};

TEST_F(MountTemplateTest, TextWithoutTemplatesStays) {
  EXPECT_EQ(Text("lowerdir=/a:/b}}"), "lowerdir=/a:/b}}");
  EXPECT_EQ(Text(""), "");
}

TEST_F(MountTemplateTest, NamesSourceTargetAndMountPoint) {
  EXPECT_EQ(Text("{{ source 1 }}|{{target 1}}|{{  mount  2 }}"), "/images/b|sub|/m/2");
}

TEST_F(MountTemplateTest, OverlayJoinsMountPointsInEitherDirection) {
  EXPECT_EQ(Text("lowerdir={{ overlay 0 2 }}"), "lowerdir=/m/0:/m/1:/m/2");
  EXPECT_EQ(Text("lowerdir={{ overlay 2 0 }}"), "lowerdir=/m/2:/m/1:/m/0");
  EXPECT_EQ(Text("lowerdir={{ overlay 1 1 }}"), "lowerdir=/m/1");
}

TEST_F(MountTemplateTest, SaysWhichIndexIsOutOfBounds) {
  const auto out = [](int index) {
    return StatusIs(absl::StatusCode::kInvalidArgument,
                    HasSubstr(fmt::format("index out of bounds: {}, has 3 active mounts", index)));
  };
  EXPECT_THAT(Expanded("{{ mount 3 }}"), out(3));
  EXPECT_THAT(Expanded("{{ overlay 0 7 }}"), out(7));
  EXPECT_THAT(Expanded("{{ source -1 }}"), out(-1));
}

TEST_F(MountTemplateTest, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"{{ mount }}", "{{ mount x }}", "{{ exec 1 }}", "{{ }}", "{{ mount 0",
                           "{{ overlay 1 }}", "{{ mount 99999999999999999999 }}"}) {
    EXPECT_THAT(Expanded(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST_F(MountTemplateTest, ExpandsEveryPartOfAMount) {
  base::Mount mount{"overlay", "{{ source 0 }}", "{{ target 1 }}", {"ro", "x={{ mount 0 }}"}};
  EXPECT_TRUE(HasTemplate(mount));
  ASSERT_THAT(ExpandMount(mount, active_), base::IsOk());
  EXPECT_EQ(mount.source, "/images/a");
  EXPECT_EQ(mount.target, "sub");
  EXPECT_THAT(mount.options, ElementsAre("ro", "x=/m/0"));
  EXPECT_FALSE(HasTemplate(mount));
}

}  // namespace
}  // namespace ctrd::mounts
