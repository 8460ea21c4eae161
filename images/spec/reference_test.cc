// SPDX-License-Identifier: Apache-2.0
#include "images/spec/reference.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::images {
namespace {

using base::IsOk;
using base::StatusIs;

TEST(Reference, SplitsLocatorAndObject) {
  ASSERT_OK_AND_ASSIGN(Reference ref, Reference::Parse("docker.io/library/busybox:latest"));
  EXPECT_EQ(ref.locator, "docker.io/library/busybox");
  EXPECT_EQ(ref.object, "latest");
  EXPECT_EQ(ref.hostname(), "docker.io");
  EXPECT_EQ(ref.repository(), "library/busybox");
  ASSERT_OK_AND_ASSIGN(ref, Reference::Parse("h:5000/a/b"));
  EXPECT_EQ(ref.locator, "h:5000/a/b");
  EXPECT_EQ(ref.object, "");
  ASSERT_OK_AND_ASSIGN(ref, Reference::Parse("h/a:tag@sha256:1234"));
  EXPECT_EQ(ref.object, "tag@sha256:1234");
  EXPECT_EQ(ref.tag(), "tag");
  EXPECT_EQ(ref.digest(), "sha256:1234");
  ASSERT_OK_AND_ASSIGN(ref, Reference::Parse("h/a@sha256:1234"));
  EXPECT_EQ(ref.object, "@sha256:1234");
  EXPECT_EQ(ref.text(), "h/a@sha256:1234");
  ASSERT_OK_AND_ASSIGN(ref, Reference::Parse("h//a/../b/:t"));
  EXPECT_EQ(ref.text(), "h/b:t");
  ASSERT_OK_AND_ASSIGN(ref, Reference::Parse("[::1]:5000/a:t"));
  EXPECT_EQ(ref.hostname(), "[::1]:5000");
}

TEST(Reference, RefusesWhatIsNoReference) {
  EXPECT_THAT(Reference::Parse("http://x/y"),
              StatusIs(absl::StatusCode::kUnknown, "invalid reference"));
  EXPECT_THAT(Reference::Parse("/a:b"), StatusIs(absl::StatusCode::kUnknown, "hostname required"));
  EXPECT_THAT(Reference::Parse("ubuntu:latest"),
              StatusIs(absl::StatusCode::kUnknown, testing::HasSubstr("invalid port \":latest\"")));
  EXPECT_THAT(Reference::Parse("ubuntu"), IsOk());
}

TEST(NormalizeName, CompletesTheDockerWay) {
  const std::pair<const char*, const char*> cases[] = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"a/b", "docker.io/a/b:latest"},
      {"index.docker.io/busybox:1", "docker.io/library/busybox:1"},
      {"localhost/x", "localhost/x:latest"},
      {"h:5000/x:y", "h:5000/x:y"},
      {"a.b/c__d:t", "a.b/c__d:t"},
  };
  for (const auto& [name, full] : cases) {
    ASSERT_OK_AND_ASSIGN(const std::string got, NormalizeName(name));
    EXPECT_EQ(got, full) << name;
  }
  EXPECT_FALSE(NormalizeName("a/B").ok());
  EXPECT_FALSE(NormalizeName("").ok());
  EXPECT_FALSE(NormalizeName("a:").ok());
  EXPECT_FALSE(NormalizeName("a/-b").ok());
}

TEST(FamiliarName, StripsWhatIsImplied) {
  EXPECT_EQ(FamiliarName("docker.io/library/busybox:latest"), "busybox:latest");
  EXPECT_EQ(FamiliarName("docker.io/a/b:1"), "a/b:1");
  EXPECT_EQ(FamiliarName("ghcr.io/a/b:1"), "ghcr.io/a/b:1");
}

}  // namespace
}  // namespace ctrd::images
