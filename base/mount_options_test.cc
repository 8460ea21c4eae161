// SPDX-License-Identifier: Apache-2.0
#include "base/mount_options.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

using testing::ElementsAre;

TEST(MountOptionsTest, WordsBecomeFlagsAndTheRestIsData) {
  ASSERT_OK_AND_ASSIGN(MountOptions options,
                       ParseMountOptions({"ro", "nosuid", "rbind", "size=1m", "mode=0700"}));
  EXPECT_EQ(options.flags, static_cast<unsigned long>(MS_RDONLY | MS_NOSUID | MS_BIND | MS_REC));
  EXPECT_EQ(options.JoinedData(), "size=1m,mode=0700");
}

TEST(MountOptionsTest, TheLastOfTwoOppositesWins) {
  ASSERT_OK_AND_ASSIGN(MountOptions options, ParseMountOptions({"ro", "noexec", "rw", "exec"}));
  EXPECT_EQ(options.flags, 0ul);
}

TEST(MountOptionsTest, PropagationIsKeptApart) {
  ASSERT_OK_AND_ASSIGN(MountOptions options, ParseMountOptions({"bind", "rslave"}));
  EXPECT_EQ(options.flags, static_cast<unsigned long>(MS_BIND));
  EXPECT_EQ(options.propagation, static_cast<unsigned long>(MS_SLAVE | MS_REC));
}

TEST(MountOptionsTest, WhatTheMountManagerLeftIsAnError) {
  EXPECT_THAT(ParseMountOptions({"X-containerd.mkfs.size=1"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "internal mount option \"X-containerd.mkfs.size=1\" was not consumed by "
                       "the mount manager"));
}

TEST(MountOptionsTest, OneMapAloneIsAnError) {
  EXPECT_THAT(ParseMountOptions({"uidmap=0:1000:10"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseMountOptions({"uidmap=0:1000:10", "gidmap=0:1000:10"}), IsOk());
}

TEST(MountOptionsTest, MapsBecomeLines) {
  EXPECT_EQ(IdMapLines("0:1000:10,10:5000:1").value(), "0 1000 10\n10 5000 1\n");
  for (const char* bad : {"", "0:1", "0:1:0", "a:1:1", "0:1:1:1", "0:1:-1", "0:1:1,"}) {
    EXPECT_THAT(IdMapLines(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(MountOptionsTest, SplittingHonoursBackslashes) {
  EXPECT_THAT(SplitUnescaped("a:b\\:c:d", ':'), ElementsAre("a", "b\\:c", "d"));
  EXPECT_EQ(Unescape("b\\:c\\\\d"), "b:c\\d");
}

}  // namespace
}  // namespace ctrd::base
