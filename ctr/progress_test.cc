// SPDX-License-Identifier: Apache-2.0
#include "ctr/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ctrd::ctr {
namespace {

using containerd::types::transfer::Progress;
using testing::HasSubstr;

Progress Event(const std::string& word, const std::string& name, const std::string& parent = "",
               int64_t progress = 0, int64_t total = 0) {
  Progress event;
  event.set_event(word);
  event.set_name(name);
  if (!parent.empty()) event.add_parents(parent);
  event.set_progress(progress);
  event.set_total(total);
  return event;
}

TEST(ProgressTreeTest, ShowsObjectsBelowTheirParents) {
  const absl::Time start = absl::UnixEpoch();
  ProgressTree tree(start);
  EXPECT_TRUE(tree.empty());
  tree.Add(Event("Pulling from OCI Registry (r/i:1)", ""));
  EXPECT_TRUE(tree.empty());
  tree.Add(Event("fetching image content", "r/i:1"));
  tree.Add(Event("complete", "manifest-sha256:0123456789abcdef", "r/i:1", 10, 10));
  tree.Add(Event("downloading", "layer-sha256:fedcba9876543210", "manifest-sha256:0123456789abcdef",
                 1 << 20, 2 << 20));
  const std::string picture = tree.Render(start + absl::Seconds(2));
  EXPECT_THAT(picture, HasSubstr("\n└──manifest (0123456789ab)"));
  EXPECT_THAT(picture, HasSubstr("\n   └──layer (fedcba987654)"));
  EXPECT_THAT(picture, HasSubstr(" 1.0 MiB/2.0 MiB"));
  EXPECT_THAT(picture, HasSubstr(ProgressBar(0.5)));
  EXPECT_THAT(picture, HasSubstr("elapsed: 2.0 s"));
}

TEST(ProgressTreeTest, TheLatestEventCounts) {
  ProgressTree tree(absl::UnixEpoch());
  tree.Add(Event("waiting", "r/i:1"));
  tree.Add(Event("saved", "r/i:1"));
  const std::string picture = tree.Render(absl::UnixEpoch());
  EXPECT_THAT(picture, HasSubstr("saved"));
  EXPECT_THAT(picture, testing::Not(HasSubstr("waiting")));
}

TEST(ProgressBarTest, IsFortyPlacesWide) {
  EXPECT_EQ(ProgressBar(0), "|\x1b[32m\x1b[0m" + std::string(40, '-') + "|");
  EXPECT_EQ(ProgressBar(7), "|\x1b[32m" + std::string(40, '+') + "\x1b[0m|");
}

}  // namespace
}  // namespace ctrd::ctr
