// SPDX-License-Identifier: Apache-2.0

// Whole transfers: a real registry, stores in memory.
#include "images/transfer/transfer.h"

#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "images/archive/testing/tar_builder.h"
#include "images/spec/documents.h"
#include "images/spec/platform.h"
#include "images/transfer/testing/transfer_fixture.h"
#include "snapshots/testing/fake_snapshotter.h"

namespace ctrd::transfer {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::Contains;
using testing::HasSubstr;

// Whose only snapshot lives in a directory that exists.
class DirectorySnapshotter : public snapshots::FakeSnapshotter {
 public:
  explicit DirectorySnapshotter(std::string directory) : directory_(std::move(directory)) {}
  absl::StatusOr<base::Mounts> Prepare(const base::Context& context, std::string_view key,
                                       std::string_view parent,
                                       const snapshots::Labels& labels) override {
    RETURN_IF_ERROR(FakeSnapshotter::Prepare(context, key, parent, labels).status());
    return base::Mounts{{.type = "bind", .source = directory_, .options = {"rw", "rbind"}}};
  }

 private:
  const std::string directory_;
};

class StringSink : public ByteSink {
 public:
  absl::Status Write(const base::Context&, std::string_view data) override {
    text += data;
    return absl::OkStatus();
  }
  std::string text;
};

class StringSource : public ByteSource {
 public:
  explicit StringSource(std::string text) : text_(std::move(text)) {}
  absl::Status Read(const base::Context&, std::string& chunk) override {
    chunk = text_.substr(at_, 1000);
    at_ += chunk.size();
    return absl::OkStatus();
  }

 private:
  std::string text_;
  size_t at_ = 0;
};

TEST_F(TransferTest, APulledImageIsUnpackedLabelledAndNamed) {
  StartRegistry();
  Host sender, receiver;
  const Descriptor target = PutImage(sender, "local");
  ASSERT_THAT(sender.transfer->Push(context_, {.name = "local"}, Remote("a/b:v1"), Recorder()),
              IsOk());
  EXPECT_EQ(events_.front(), "Pushing to OCI Registry (" + server_->host() + "/a/b:v1)");
  EXPECT_EQ(events_.back(), "Completed push to OCI Registry (" + server_->host() + "/a/b:v1)");
  ASSERT_THAT(receiver.transfer->Pull(context_, Remote("a/b:v1"), Named("pulled"), Recorder()),
              IsOk());
  EXPECT_EQ(events_.front(), "Resolving from OCI Registry (" + server_->host() + "/a/b:v1)");
  EXPECT_THAT(events_, Contains("complete"));
  EXPECT_THAT(events_, Contains("extracted"));
  EXPECT_EQ(events_.back(), "Completed pull from OCI Registry (" + server_->host() + "/a/b:v1)");

  ASSERT_OK_AND_ASSIGN(const images::Image image, receiver.images.Get(context_, "pulled"));
  EXPECT_EQ(image.target.digest, target.digest);
  ASSERT_OK_AND_ASSIGN(const auto snapshot, receiver.snapshotter.Stat(context_, chain_.back()));
  EXPECT_EQ(snapshot.kind, snapshots::Kind::kCommitted);
  EXPECT_EQ(snapshot.parent, chain_[1]);
  EXPECT_EQ(snapshot.labels.at("containerd.io/snapshot.ref"), chain_.back());
  ASSERT_OK_AND_ASSIGN(const content::Info config, Stat(receiver, config_.digest));
  EXPECT_EQ(config.labels.at("containerd.io/gc.ref.snapshot.overlayfs"), chain_.back());
  EXPECT_EQ(config.labels.at("containerd.io/distribution.source.127.0.0.1"), "a/b");
  ASSERT_OK_AND_ASSIGN(const content::Info layer, Stat(receiver, layers_[0].digest));
  EXPECT_EQ(layer.labels.at("containerd.io/uncompressed"), layers_[0].digest);
  ASSERT_OK_AND_ASSIGN(const content::Info index, Stat(receiver, target.digest));
  EXPECT_EQ(index.labels.count("containerd.io/gc.ref.content.m.1"), 1u);
  EXPECT_EQ(receiver.leases.held(), 0u);
  EXPECT_EQ(receiver.leases.made(), 1);
}

TEST_F(TransferTest, LayersWhoseSnapshotsExistAreNotFetched) {
  StartRegistry();
  Host sender, receiver;
  PutImage(sender, "local");
  ASSERT_THAT(sender.transfer->Push(context_, {.name = "local"}, Remote("a:v1"), {}), IsOk());
  ASSERT_THAT(receiver.transfer->Pull(context_, Remote("a:v1"), Named("x"), {}), IsOk());
  for (const Descriptor& layer : layers_) {
    ASSERT_THAT(receiver.content.Delete(context_, *base::Digest::Parse(layer.digest)), IsOk());
  }
  ASSERT_THAT(receiver.transfer->Pull(context_, Remote("a:v1"), Named("x"), {}), IsOk());
  EXPECT_THAT(Stat(receiver, layers_[0].digest), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(receiver.differ.applied(), 3);
}

TEST_F(TransferTest, AllMetadataBringsForeignManifestsWithoutLayers) {
  StartRegistry();
  Host sender, receiver;
  PutImage(sender, "local");
  ASSERT_THAT(sender.transfer->Push(context_, {.name = "local"}, Remote("a:v1"), {}), IsOk());
  StoreEnd end = Named("x");
  end.all_metadata = true;
  ASSERT_THAT(receiver.transfer->Pull(context_, Remote("a:v1"), end, {}), IsOk());
  EXPECT_THAT(Stat(receiver, base::Digest::Of("foreign layer").text()),
              StatusIs(absl::StatusCode::kNotFound));
  const Descriptor foreign = PutManifest(sender, "s390x", {"foreign layer"});
  EXPECT_THAT(Stat(receiver, foreign.digest), IsOk());
  EXPECT_THAT(Stat(receiver, config_.digest), IsOk());
}

TEST_F(TransferTest, TheFirstLayerIsAppliedWhileItArrives) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  StartRegistry();
  Host sender, receiver;
  ASSERT_OK_AND_ASSIGN(const std::string root, base::MakeTempDirectory("/tmp", "one-pass-"));
  DirectorySnapshotter snapshotter(root);
  TransferConfig config;
  config.unpack_targets = {{images::HostPlatform(), "overlayfs", &snapshotter, &receiver.differ,
                            diff::WalkingOptions{.tmp_root = root}}};
  ASSERT_OK_AND_ASSIGN(
      receiver.transfer,
      CreateTransfer({&receiver.content, &receiver.images, &receiver.leases}, config));
  const Descriptor target = PutManifest(sender, images::HostPlatform().architecture,
                                        {archive::TarBuilder().File("hello", "world").Build()});
  ASSERT_THAT(sender.images.Create(context_, {.name = "local", .target = target}, std::nullopt),
              IsOk());
  ASSERT_THAT(sender.transfer->Push(context_, {.name = "local"}, Remote("a:v1"), {}), IsOk());
  ASSERT_THAT(receiver.transfer->Pull(context_, Remote("a:v1"), Named("x"), {}), IsOk());
  EXPECT_EQ(receiver.differ.applied(), 0);
  ASSERT_OK_AND_ASSIGN(const std::string text, base::ReadFile(root + "/hello"));
  EXPECT_EQ(text, "world");
  EXPECT_THAT(snapshotter.Stat(context_, chain_[0]), IsOk());
  ASSERT_THAT(base::RemoveTree(root), IsOk());
}

TEST_F(TransferTest, ACorruptLayerFailsThePullAndNothingIsNamed) {
  StartRegistry();
  Host sender, receiver;
  PutImage(sender, "local");
  ASSERT_THAT(sender.transfer->Push(context_, {.name = "local"}, Remote("a:v1"), {}), IsOk());
  std::ofstream(server_->BlobPath(layers_[1].digest)) << "owt";
  EXPECT_THAT(
      receiver.transfer->Pull(context_, Remote("a:v1"), Named("x"), {}),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("unexpected commit digest")));
  EXPECT_THAT(receiver.images.Get(context_, "x"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Stat(receiver, layers_[1].digest), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(receiver.content.StatusOf(context_, "layer-" + layers_[1].digest),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(receiver.leases.held(), 0u);
}

TEST_F(TransferTest, WhatIsNotThereIsNotFound) {
  StartRegistry();
  Host host;
  EXPECT_THAT(host.transfer->Pull(context_, Remote("a:v1"), Named("x"), {}),
              StatusIs(absl::StatusCode::kNotFound,
                       "failed to resolve image: " + server_->host() + "/a:v1: not found"));
  EXPECT_THAT(host.transfer->Push(context_, {.name = "no"}, Remote("a:v1"), {}),
              StatusIs(absl::StatusCode::kNotFound, "image \"no\": not found"));
}

TEST_F(TransferTest, AnUnpackNobodyServesStopsThePull) {
  StartRegistry();
  Host sender, receiver;
  PutImage(sender, "local");
  ASSERT_THAT(sender.transfer->Push(context_, {.name = "local"}, Remote("a:v1"), {}), IsOk());
  StoreEnd end = Named("x");
  end.unpacks = {{images::HostPlatform(), "native"}};
  EXPECT_THAT(
      receiver.transfer->Pull(context_, Remote("a:v1"), end, {}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "unable to initialize unpacker: no unpack platforms defined: invalid argument"));
}

TEST_F(TransferTest, TwoPullsAtOnceApplyEachLayerOnce) {
  StartRegistry();
  Host sender, receiver;
  PutImage(sender, "local");
  ASSERT_THAT(sender.transfer->Push(context_, {.name = "local"}, Remote("a:v1"), {}), IsOk());
  absl::Status statuses[2];
  std::thread other(
      [&] { statuses[0] = receiver.transfer->Pull(context_, Remote("a:v1"), Named("x"), {}); });
  statuses[1] = receiver.transfer->Pull(context_, Remote("a:v1"), Named("y"), {});
  other.join();
  EXPECT_THAT(statuses[0], IsOk());
  EXPECT_THAT(statuses[1], IsOk());
  EXPECT_EQ(receiver.differ.applied(), 3);
}

TEST_F(TransferTest, AnExportComesBackByImport) {
  Host sender, receiver;
  const Descriptor target = PutImage(sender, "docker.io/library/busybox:latest");
  StringSink first, second;
  const StoreEnd from{.name = "docker.io/library/busybox:latest"};
  ASSERT_THAT(sender.transfer->Export(context_, from, {.sink = &first}, Recorder()), IsOk());
  EXPECT_EQ(events_, (std::vector<std::string>{"Exporting", "Completed export"}));
  ASSERT_THAT(sender.transfer->Export(context_, from, {.sink = &second}, {}), IsOk());
  EXPECT_EQ(first.text, second.text);
  EXPECT_THAT(first.text, HasSubstr(R"("RepoTags":["busybox:latest"])"));

  StringSource source(first.text);
  StoreEnd to = Named("");
  to.extra_references = {{.name = "import-2026-01-01", .is_prefix = true, .allow_overwrite = true}};
  ASSERT_THAT(receiver.transfer->Import(context_, {.source = &source}, to, Recorder()), IsOk());
  EXPECT_EQ(events_, (std::vector<std::string>{"Importing", "saved", "Completed import"}));
  ASSERT_OK_AND_ASSIGN(const images::Image image, receiver.images.Get(context_, from.name));
  EXPECT_EQ(image.target.digest, target.digest);
  EXPECT_THAT(receiver.snapshotter.Stat(context_, chain_.back()), IsOk());
}

TEST_F(TransferTest, ADockerArchiveIsImported) {
  Host sender, receiver;
  PutImage(sender, "docker.io/library/busybox:latest");
  StringSink archive;
  ASSERT_THAT(sender.transfer->Export(context_, {.name = "docker.io/library/busybox:latest"},
                                      {.sink = &archive}, {}),
              IsOk());
  // Without its oci-layout the archive is one that only manifest.json describes.
  const size_t at = archive.text.rfind("oci-layout");
  archive.text.resize(at);
  archive.text.append(1024, '\0');
  StringSource source(archive.text);
  StoreEnd to = Named("");
  to.unpacks.clear();  // The fake differ knows no compression.
  to.extra_references = {{.name = "p", .is_prefix = true, .allow_overwrite = true}};
  ASSERT_THAT(
      receiver.transfer->Import(context_, {.source = &source, .force_compress = true}, to, {}),
      IsOk());
  EXPECT_THAT(receiver.images.Get(context_, "docker.io/library/busybox:latest"), IsOk());
}

TEST_F(TransferTest, WhatIsNoArchiveIsRefused) {
  Host host;
  StringSource nothing(std::string(1024, '\0'));
  EXPECT_THAT(host.transfer->Import(context_, {.source = &nothing}, Named(""), {}),
              StatusIs(absl::StatusCode::kUnknown, "unrecognized image format"));
  StringSource garbage(std::string(2000, 'g'));
  EXPECT_FALSE(host.transfer->Import(context_, {.source = &garbage}, Named(""), {}).ok());
}

TEST_F(TransferTest, ATagTakesTheTargetAndNotTheLabels) {
  Host host;
  const Descriptor target = PutImage(host, "a");
  ASSERT_THAT(host.transfer->Tag(context_, {.name = "a"}, {.name = "b", .labels = {{"k", "v"}}}),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const images::Image image, host.images.Get(context_, "b"));
  EXPECT_EQ(image.target.digest, target.digest);
  EXPECT_EQ(image.labels, (base::Labels{{"k", "v"}}));
  EXPECT_THAT(host.transfer->Tag(context_, {.name = "a"}, {}),
              StatusIs(absl::StatusCode::kNotFound, "no image name found: not found"));
}

}  // namespace
}  // namespace ctrd::transfer
