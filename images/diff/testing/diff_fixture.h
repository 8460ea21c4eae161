// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/archive/compression.h"
#include "images/archive/testing/tar_builder.h"
#include "images/content/testing/fake_content_store.h"
#include "images/diff/walking_differ.h"

namespace ctrd::diff {

// A differ on a content store in memory, and a directory to work in.
class DiffFixture : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts, owners and devices";
    ASSERT_OK_AND_ASSIGN(top_, base::MakeTempDirectory(testing::TempDir(), "diff-"));
    walking_.tmp_root = Make("tmp");
    differ_ = OpenWalkingDiffer(content_, walking_);
  }
  void TearDown() override {
    if (top_.empty()) return;
    EXPECT_TRUE(base::ListDirectory(walking_.tmp_root)->empty()) << "a mount was left";
    EXPECT_THAT(base::RemoveTree(top_), base::IsOk());
  }

  // A new directory below the fixture's, and its path.
  std::string Make(const std::string& name) {
    EXPECT_THAT(base::MakeDirectories(top_ + "/" + name, 0755), base::IsOk());
    return top_ + "/" + name;
  }
  void Write(const std::string& name, std::string_view text) {
    EXPECT_THAT(base::WriteFileAtomically(top_ + "/" + name, text, 0644), base::IsOk());
  }
  std::string Read(const std::string& name) {
    return base::ReadFile(top_ + "/" + name).value_or("(nothing)");
  }
  bool Has(const std::string& name) { return base::Exists(top_ + "/" + name); }
  static base::Mounts Bind(const std::string& path) {
    return {{.type = "bind", .source = path, .options = {"rbind", "rw"}}};
  }
  static std::string Compress(archive::Compression compression, const std::string& data) {
    archive::StringSink sink;
    auto compressor = archive::OpenCompressor(compression, sink);
    EXPECT_THAT((*compressor)->Write(data), base::IsOk());
    EXPECT_THAT((*compressor)->Finish(), base::IsOk());
    return std::move(sink.text);
  }
  absl::StatusOr<images::Descriptor> Apply(const std::string& blob, const std::string& media_type,
                                           const base::Mounts& mounts,
                                           const ApplyOptions& options = {}) {
    const base::Digest digest = content_.Add(blob);
    return differ_->Apply(context_, {.media_type = media_type, .digest = digest.text()}, mounts,
                          options);
  }

  const base::Context context_{"diff"};
  std::string top_;
  WalkingOptions walking_;
  content::FakeContentStore content_;
  std::unique_ptr<Differ> differ_;
};

inline constexpr char kOciTar[] = "application/vnd.oci.image.layer.v1.tar";
inline constexpr char kOciGzip[] = "application/vnd.oci.image.layer.v1.tar+gzip";

}  // namespace ctrd::diff
