// SPDX-License-Identifier: Apache-2.0

// Pulls whose layers are applied before the layers below them are there.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <mutex>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/archive/testing/tar_builder.h"
#include "images/transfer/testing/transfer_fixture.h"
#include "snapshots/testing/fake_snapshotter.h"

namespace ctrd::transfer {
namespace {

using archive::TarBuilder;
using base::IsOk;
using base::StatusIs;

// Gives each snapshot a directory of its own, and shows it as the overlay driver does: a bind of
// the directory without a parent, an overlay over the parents' directories with one.
class RebasingSnapshotter : public snapshots::FakeSnapshotter {
 public:
  explicit RebasingSnapshotter(std::string root) : root_(std::move(root)) {}

  absl::StatusOr<base::Mounts> Prepare(const base::Context& context, std::string_view key,
                                       std::string_view parent,
                                       const snapshots::Labels& labels) override {
    RETURN_IF_ERROR(FakeSnapshotter::Prepare(context, key, parent, labels).status());
    const std::lock_guard lock(mutex_);
    const std::string directory = fmt::format("{}/{}", root_, directories_.size());
    RETURN_IF_ERROR(base::MakeDirectories(directory, 0755));
    directories_[std::string(key)] = directory;
    prepared_with_.push_back(std::string(parent));
    if (parent.empty()) {
      return base::Mounts{{.type = "bind", .source = directory, .options = {"rw", "rbind"}}};
    }
    return base::Mounts{
        {.type = "overlay",
         .source = "overlay",
         .options = {"upperdir=" + directory, "lowerdir=" + directories_.at(std::string(parent))}}};
  }

  absl::Status Commit(const base::Context& context, std::string_view name, std::string_view key,
                      const snapshots::Labels& labels, std::string_view parent) override {
    RETURN_IF_ERROR(FakeSnapshotter::Commit(context, name, key, labels, parent));
    const std::lock_guard lock(mutex_);
    directories_[std::string(name)] = directories_.at(std::string(key));
    return absl::OkStatus();
  }

  std::string DirectoryOf(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return directories_.at(name);
  }
  std::vector<std::string> prepared_with() {
    const std::lock_guard lock(mutex_);
    return prepared_with_;
  }

 private:
  const std::string root_;
  std::mutex mutex_;
  std::map<std::string, std::string> directories_;
  std::vector<std::string> prepared_with_;
};

class SideBySideTest : public TransferTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    StartRegistry();
    ASSERT_OK_AND_ASSIGN(root_, base::MakeTempDirectory("/tmp", "side-by-side-"));
    snapshotter_ = std::make_unique<RebasingSnapshotter>(root_);
    TransferConfig config;
    config.unpack_targets = {{.platform = images::HostPlatform(),
                              .snapshotter_name = "overlayfs",
                              .snapshotter = snapshotter_.get(),
                              .differ = &receiver_.differ,
                              .streaming = diff::WalkingOptions{.tmp_root = root_},
                              .rebase = true}};
    ASSERT_OK_AND_ASSIGN(
        receiver_.transfer,
        CreateTransfer({&receiver_.content, &receiver_.images, &receiver_.leases}, config));
  }
  void TearDown() override {
    if (root_.empty()) return;
    EXPECT_THAT(base::RemoveTree(root_), IsOk());
  }

  void Push(const std::vector<std::string>& layers) {
    const Descriptor target = PutManifest(sender_, images::HostPlatform().architecture, layers);
    ASSERT_THAT(sender_.images.Create(context_, {.name = "local", .target = target}, std::nullopt),
                IsOk());
    ASSERT_THAT(sender_.transfer->Push(context_, {.name = "local"}, Remote("a:v1"), {}), IsOk());
  }
  absl::Status Pull() { return receiver_.transfer->Pull(context_, Remote("a:v1"), Named("x"), {}); }
  // Names of the snapshots that are there.
  std::vector<std::string> Snapshots() {
    std::vector<std::string> names;
    EXPECT_THAT(snapshotter_->Walk(context_, base::Filter(),
                                   [&](const snapshots::Info& info) {
                                     names.push_back(info.name);
                                     return absl::OkStatus();
                                   }),
                IsOk());
    return names;
  }

  Host sender_, receiver_;
  std::string root_;
  std::unique_ptr<RebasingSnapshotter> snapshotter_;
};

TEST_F(SideBySideTest, LayersStandOnEachOtherInTheEnd) {
  Push({TarBuilder().Directory("a").File("a/one", "1").Build(),
        TarBuilder().Directory("a").File("a/.wh.one", "").File("a/two", "2").Build(),
        TarBuilder().File("top", "3").Build()});
  ASSERT_THAT(Pull(), IsOk());
  EXPECT_EQ(snapshotter_->prepared_with(), (std::vector<std::string>{"", "", ""}));
  for (size_t i = 0; i < chain_.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const snapshots::Info info, snapshotter_->Stat(context_, chain_[i]));
    EXPECT_EQ(info.parent, i == 0 ? "" : chain_[i - 1]);
  }
  EXPECT_EQ(Snapshots().size(), 3u);
  // A deletion is kept as a mark for the layer below, not carried out.
  struct stat mark;
  ASSERT_EQ(::lstat((snapshotter_->DirectoryOf(chain_[1]) + "/a/one").c_str(), &mark), 0);
  EXPECT_TRUE(S_ISCHR(mark.st_mode));
  EXPECT_EQ(mark.st_rdev, ::makedev(0, 0));
  EXPECT_EQ(receiver_.differ.applied(), 0);  // All was applied while it arrived.
}

TEST_F(SideBySideTest, ALayerThatLeavesOutADirectoryWaitsForTheLayersBelow) {
  // Stored layers are applied by the differ, which is a fake: it only has to be asked for.
  Push({TarBuilder().Directory("tmp", 01777).Build(), TarBuilder().File("tmp/file", "x").Build()});
  ASSERT_THAT(Pull(), IsOk());
  EXPECT_EQ(snapshotter_->prepared_with(), (std::vector<std::string>{"", "", chain_[0]}));
  EXPECT_EQ(receiver_.differ.applied(), 1);
  ASSERT_OK_AND_ASSIGN(const snapshots::Info info, snapshotter_->Stat(context_, chain_[1]));
  EXPECT_EQ(info.parent, chain_[0]);
  EXPECT_EQ(Snapshots().size(), 2u);
}

TEST_F(SideBySideTest, AFailureLeavesOnlyWhatIsWholeFromTheBottom) {
  Push({TarBuilder().File("one", "1").Build(), TarBuilder().File("two", "2").Build(),
        TarBuilder().File("three", "3").Build()});
  std::ofstream(server_->BlobPath(layers_[1].digest)) << std::string(layers_[1].size_bytes, 'x');
  EXPECT_THAT(Pull(), StatusIs(absl::StatusCode::kFailedPrecondition));
  for (const std::string& name : Snapshots()) EXPECT_EQ(name, chain_[0]);
  EXPECT_THAT(receiver_.images.Get(context_, "x"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SideBySideTest, TwoPullsAtOnceApplyEachLayerOnce) {
  Push({TarBuilder().File("one", "1").Build(), TarBuilder().File("two", "2").Build(),
        TarBuilder().File("three", "3").Build()});
  absl::Status other_status;
  std::thread other(
      [&] { other_status = receiver_.transfer->Pull(context_, Remote("a:v1"), Named("y"), {}); });
  EXPECT_THAT(Pull(), IsOk());
  other.join();
  EXPECT_THAT(other_status, IsOk());
  EXPECT_EQ(snapshotter_->prepared_with().size(), 3u);
  EXPECT_EQ(Snapshots().size(), 3u);
}

}  // namespace
}  // namespace ctrd::transfer
