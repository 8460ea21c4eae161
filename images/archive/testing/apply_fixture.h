// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <string>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/archive/apply.h"
#include "images/archive/testing/tar_builder.h"

namespace ctrd::archive {

// A directory to apply layers to, `root()`, beside one that must stay as it is, `outside()`.
class ApplyFixture : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: owners, devices and trusted attributes";
    ASSERT_OK_AND_ASSIGN(top_, base::MakeTempDirectory(testing::TempDir(), "apply-"));
    for (const char* name : {"/root", "/outside", "/lower1", "/lower2", "/outside/dir"}) {
      ASSERT_THAT(base::MakeDirectories(top_ + name, 0755), base::IsOk());
    }
    ASSERT_THAT(base::WriteFileAtomically(outside() + "/file", "outside", 0400), base::IsOk());
  }
  void TearDown() override {
    if (!top_.empty()) (void)base::RemoveTree(top_);
  }

  std::string root() const { return top_ + "/root"; }
  std::string outside() const { return top_ + "/outside"; }
  std::string lower(int number) const { return fmt::format("{}/lower{}", top_, number); }

  absl::Status Apply(const std::string& tar, const ApplyTarOptions& options = {}) {
    ASSIGN_OR_RETURN(const base::UniqueFd directory, base::Open(root(), O_RDONLY | O_DIRECTORY));
    MemorySource source(tar);
    return ApplyTar(base::Context("test"), source, directory.get(), options);
  }
  absl::Status Apply(TarBuilder& tar, const ApplyTarOptions& options = {}) {
    return Apply(tar.Build(), options);
  }
  static ApplyTarOptions Overlay(std::vector<std::string> lowers = {}) {
    return {.whiteouts = WhiteoutMode::kOverlay, .lower_directories = std::move(lowers)};
  }

  struct stat Stat(const std::string& name) const {
    struct stat file = {};
    EXPECT_EQ(::lstat((root() + "/" + name).c_str(), &file), 0) << name;
    return file;
  }
  mode_t Mode(const std::string& name) const { return Stat(name).st_mode & 07777; }
  bool Has(const std::string& name) const { return base::Exists(root() + "/" + name); }
  // The content of a regular file; what a link says is "-> target".
  std::string Text(const std::string& name) const {
    const std::string path = root() + "/" + name;
    char target[PATH_MAX];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof(target));
    if (length >= 0) return "-> " + std::string(target, static_cast<size_t>(length));
    return base::ReadFile(path).value_or("(nothing)");
  }
  bool SameFile(const std::string& a, const std::string& b) const {
    return Stat(a).st_ino == Stat(b).st_ino;
  }
  void ExpectOutsideUntouched() const {
    struct stat file = {};
    ASSERT_EQ(::stat((outside() + "/file").c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 07777, 0400u);
    EXPECT_EQ(file.st_nlink, 1u);
    EXPECT_EQ(base::ReadFile(outside() + "/file").value_or(""), "outside");
    const auto names = base::ListDirectory(outside());
    EXPECT_EQ(*names, (std::vector<std::string>{"dir", "file"}));
    EXPECT_TRUE(base::ListDirectory(outside() + "/dir")->empty());
    EXPECT_EQ(base::ListDirectory(top_)->size(), 4u);
  }

  std::string top_;
};

}  // namespace ctrd::archive
