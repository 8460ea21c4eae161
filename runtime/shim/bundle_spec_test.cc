// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/bundle_spec.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"

namespace ctrd::runtime::shim {
namespace {

using base::IsOk;
using base::StatusIs;

class BundleSpecTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(bundle_, base::MakeTempDirectory(testing::TempDir(), "bundle"));
    ASSERT_THAT(base::MakeDirectories(bundle_ + "/rootfs", 0700), IsOk());
  }
  void TearDown() override { EXPECT_THAT(base::RemoveTree(bundle_), IsOk()); }

  void Write(const std::string& spec) {
    ASSERT_THAT(base::WriteFileAtomically(bundle_ + "/config.json", spec, 0600), IsOk());
  }
  // A specification with `count` mappings called `name`.
  void WriteMappings(const std::string& name, size_t count) {
    std::string list;
    for (size_t i = 0; i < count; ++i) {
      list += std::string(i > 0 ? "," : "") + R"({"containerID":1,"hostID":2,"size":1})";
    }
    Write(R"({"linux":{")" + name + "\":[" + list + "]}}");
  }

  std::string bundle_;
};

TEST_F(BundleSpecTest, MappingsHaveTheKernelsLimit) {
  for (const char* name : {"uidMappings", "gidMappings"}) {
    WriteMappings(name, 340);
    EXPECT_THAT(ReadFacts(bundle_).limits, IsOk());
    WriteMappings(name, 341);
    EXPECT_THAT(ReadFacts(bundle_).limits, StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(BundleSpecTest, PathsOfNamespacesAreNoLongerThanPathsAre) {
  const auto spec = [](size_t bytes) {
    return R"({"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":")" +
           std::string(bytes, 'a') + R"("}]}})";
  };
  Write(spec(4095));
  EXPECT_THAT(ReadFacts(bundle_).limits, IsOk());
  Write(spec(4096));
  EXPECT_THAT(ReadFacts(bundle_).limits, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BundleSpecTest, AnnotationsHaveALimitTogether) {
  const std::string half(600 << 10, 'x');
  Write(R"({"annotations":{"a":")" + half + R"("}})");
  EXPECT_THAT(ReadFacts(bundle_).limits, IsOk());
  Write(R"({"annotations":{"a":")" + half + R"(","b":")" + half + R"("}})");
  EXPECT_THAT(ReadFacts(bundle_).limits, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BundleSpecTest, WhatIsNoSpecificationIsLeftToTheRuntime) {
  for (const char* text : {"", "{", "[]", "{\"linux\":7}", R"({"linux":{"namespaces":{"a":1}}})"}) {
    Write(text);
    EXPECT_THAT(ReadFacts(bundle_).limits, IsOk()) << text;
    EXPECT_THAT(CheckRoot(ReadFacts(bundle_).root), IsOk()) << text;
  }
}

TEST_F(BundleSpecTest, APidNamespaceIsPrivateIfItIsNew) {
  const auto is_private = [&](const std::string& namespaces) {
    Write(R"({"linux":{"namespaces":[)" + namespaces + "]}}");
    return ReadFacts(bundle_).private_pid_namespace;
  };
  EXPECT_TRUE(is_private(R"({"type":"mount"},{"type":"pid"})"));
  EXPECT_FALSE(is_private(R"({"type":"mount"})"));
  EXPECT_FALSE(is_private(R"({"type":"pid","path":"/proc/1/ns/pid"})"));
}

TEST_F(BundleSpecTest, ARootWhoseDevIsALinkIsRefused) {
  Write(R"({"root":{"path":"rootfs"}})");
  EXPECT_THAT(CheckRoot(ReadFacts(bundle_).root), IsOk());  // There is none.
  ASSERT_EQ(::symlink("/tmp", (bundle_ + "/rootfs/dev").c_str()), 0);
  EXPECT_THAT(CheckRoot(ReadFacts(bundle_).root), StatusIs(absl::StatusCode::kFailedPrecondition));
  Write(R"({"root":{"path":")" + bundle_ + R"(/rootfs"}})");
  EXPECT_THAT(CheckRoot(ReadFacts(bundle_).root), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace ctrd::runtime::shim
