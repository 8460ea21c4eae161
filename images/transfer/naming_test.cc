// SPDX-License-Identifier: Apache-2.0
#include "images/transfer/naming.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "images/spec/documents.h"

namespace ctrd::transfer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Names(const StoreEnd& store, const Descriptor& target, Origin origin) {
  std::vector<std::string> out;
  for (const auto& image : ImagesFor(store, target, origin, absl::UnixEpoch())) {
    out.push_back(image.name);
  }
  return out;
}

Descriptor Entry(const std::string& name, const std::string& tag = "") {
  Descriptor target;
  target.digest = "sha256:d";
  if (!name.empty()) target.annotations[std::string(images::kImageNameAnnotation)] = name;
  if (!tag.empty()) target.annotations[std::string(images::kRefNameAnnotation)] = tag;
  return target;
}

TEST(ImagesFor, ANamedImageGetsItsNameAndItsExtraOnes) {
  StoreEnd store{.name = "n"};
  store.extra_references = {{.name = "x"}, {.name = "p", .is_prefix = true, .add_digest = true}};
  const auto images = ImagesFor(store, Entry(""), Origin::kNamed, absl::UnixEpoch());
  ASSERT_EQ(images.size(), 3u);
  EXPECT_EQ(images[0].name, "n");
  EXPECT_TRUE(images[0].labels.empty());
  EXPECT_EQ(images[1].name, "x");
  EXPECT_EQ(images[1].labels.at("containerd.io/gc.bref.image"), "n");
  EXPECT_EQ(images[1].labels.at("containerd.io/gc.expire"), "1970-01-01T00:00:00Z");
  EXPECT_EQ(images[2].name, "p@sha256:d");
}

TEST(ImagesFor, AnArchivesNamesGoThroughThePrefix) {
  StoreEnd store;
  store.extra_references = {{.name = "docker.io/a", .is_prefix = true}};
  const auto names = [&](const Descriptor& target) {
    return Names(store, target, Origin::kArchiveEntry);
  };
  EXPECT_THAT(names(Entry("", "v1")), ElementsAre("docker.io/a:v1"));
  EXPECT_THAT(names(Entry("docker.io/a:x", "x")), ElementsAre("docker.io/a:x"));
  EXPECT_THAT(names(Entry("docker.io/ab:x", "x")), IsEmpty());
  EXPECT_THAT(names(Entry("")), IsEmpty());
  store.extra_references[0].allow_overwrite = true;
  EXPECT_THAT(names(Entry("other/b:x", "x")), ElementsAre("other/b:x"));
  store.extra_references[0].add_digest = true;
  EXPECT_THAT(names(Entry("other/b:x")), ElementsAre("other/b:x", "docker.io/a@sha256:d"));
  store.extra_references[0].skip_named_digest = true;
  EXPECT_THAT(names(Entry("other/b:x")), ElementsAre("other/b:x"));
  EXPECT_THAT(names(Entry("")), ElementsAre("docker.io/a@sha256:d"));
}

}  // namespace
}  // namespace ctrd::transfer
