// SPDX-License-Identifier: Apache-2.0
#include "images/content/local/local_content_store.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "base/time.h"
#include "images/content/testing/content_store_suite.h"

namespace ctrd::content {
namespace {

using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;

INSTANTIATE_TEST_SUITE_P(Drivers, ContentStoreSuite,
                         testing::Values(ContentDriver{.name = "Local",
                                                       .open = OpenLocalContentStore}),
                         NameOf);

class LocalContentStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(root_, base::MakeTempDirectory(testing::TempDir(), "content-"));
    ASSERT_OK_AND_ASSIGN(store_, OpenLocalContentStore(root_));
  }
  void TearDown() override {
    store_.reset();
    EXPECT_THAT(base::RemoveTree(root_), IsOk());
  }
  std::unique_ptr<Writer> Open(const std::string& ref, int64_t total = 0) {
    return *store_->OpenWriter(context_, {.ref = ref, .total_bytes = total});
  }
  std::string IngestPath(const std::string& ref) {
    return root_ + "/ingest/" + std::string(Digest::Of(ref).hex());
  }
  std::string Text(const std::string& path) { return base::ReadFile(path).value_or("(none)"); }

  const base::Context context_{"local"};
  std::string root_;
  std::unique_ptr<ContentStore> store_;
};

TEST_F(LocalContentStoreTest, ABlobIsAReadOnlyFileNamedByItsDigest) {
  const Digest digest = Digest::Of("data");
  ASSERT_THAT(WriteBlob(context_, *store_, "ref", "data", digest, {}), IsOk());
  const std::string path = root_ + "/blobs/sha256/" + std::string(digest.hex());
  struct stat file;
  ASSERT_EQ(::stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777 & ~0444u, 0u);
  EXPECT_EQ(Text(path), "data");
  ASSERT_OK_AND_ASSIGN(const auto left, base::ListDirectory(root_ + "/ingest"));
  EXPECT_TRUE(left.empty());
}

TEST_F(LocalContentStoreTest, AnIngestIsADirectoryOfSmallFiles) {
  auto writer = Open("default/1/layer", 10);
  ASSERT_THAT(writer->Write("abc"), IsOk());
  const std::string path = IngestPath("default/1/layer");
  ASSERT_OK_AND_ASSIGN(const auto names, base::ListDirectory(path));
  EXPECT_THAT(names, ElementsAre("data", "ref", "startedat", "total", "updatedat"));
  EXPECT_EQ(Text(path + "/data"), "abc");
  EXPECT_EQ(Text(path + "/ref"), "default/1/layer");
  EXPECT_EQ(Text(path + "/total"), "10");
  EXPECT_EQ(base::ParseRfc3339(Text(path + "/startedat")), writer->status().started);
}

TEST_F(LocalContentStoreTest, AnIngestWithoutADeclaredTotalHasNoTotalFile) {
  auto writer = Open("ref");
  EXPECT_FALSE(base::Exists(IngestPath("ref") + "/total"));
}

TEST_F(LocalContentStoreTest, AnUnreadableTimeStartsTheIngestOver) {
  ASSERT_THAT(Open("ref")->Write("data"), IsOk());
  ASSERT_THAT(base::WriteFileAtomically(IngestPath("ref") + "/startedat", "noon", 0600), IsOk());
  EXPECT_EQ(Open("ref")->status().offset_bytes, 0);
  EXPECT_EQ(Text(IngestPath("ref") + "/data"), "");
}

TEST_F(LocalContentStoreTest, AnotherRefInTheDirectoryStartsTheIngestOver) {
  ASSERT_THAT(Open("ref")->Write("data"), IsOk());
  ASSERT_THAT(base::WriteFileAtomically(IngestPath("ref") + "/ref", "other", 0600), IsOk());
  auto writer = Open("ref");
  EXPECT_EQ(writer->status().offset_bytes, 0);
  EXPECT_EQ(Text(IngestPath("ref") + "/ref"), "ref");
}

TEST_F(LocalContentStoreTest, AnIngestWithoutDataIsNotListed) {
  ASSERT_THAT(Open("ref")->Write("data"), IsOk());
  ASSERT_EQ(::unlink((IngestPath("ref") + "/data").c_str()), 0);
  EXPECT_THAT(store_->StatusOf(context_, "ref"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto statuses, store_->ListStatuses(context_, {}));
  EXPECT_TRUE(statuses.empty());
}

TEST_F(LocalContentStoreTest, ABlobThatACrashLeftWithoutARecordIsAdopted) {
  // As if the process died between the rename and the removal of the ingest.
  const Digest digest = Digest::Of("data");
  ASSERT_THAT(WriteBlob(context_, *store_, "one", "data", digest, {}), IsOk());
  auto writer = Open("two");
  ASSERT_THAT(writer->Write("data"), IsOk());
  EXPECT_THAT(writer->Commit(context_, 4, digest, {}), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_FALSE(base::Exists(IngestPath("two")));
}

TEST_F(LocalContentStoreTest, IngestsWithoutARefAreRemovedWhenTheStoreOpens) {
  ASSERT_THAT(Open("keep")->Write("data"), IsOk());
  ASSERT_THAT(Open("torn")->Write("data"), IsOk());
  ASSERT_EQ(::unlink((IngestPath("torn") + "/ref").c_str()), 0);
  store_.reset();
  ASSERT_OK_AND_ASSIGN(store_, OpenLocalContentStore(root_));
  EXPECT_FALSE(base::Exists(IngestPath("torn")));
  EXPECT_EQ(Open("keep")->status().offset_bytes, 4);
}

TEST_F(LocalContentStoreTest, StrangersAmongTheBlobsAreSkipped) {
  ASSERT_THAT(WriteBlob(context_, *store_, "ref", "data", Digest::Of("data"), {}), IsOk());
  ASSERT_THAT(base::MakeDirectories(root_ + "/blobs/md5", 0755), IsOk());
  ASSERT_THAT(base::WriteFileAtomically(root_ + "/blobs/md5/00", "x", 0600), IsOk());
  ASSERT_THAT(base::WriteFileAtomically(root_ + "/blobs/sha256/notes", "x", 0600), IsOk());
  int seen = 0;
  ASSERT_THAT(store_->Walk(context_, {}, [&](const Info&) { return ++seen, absl::OkStatus(); }),
              IsOk());
  EXPECT_EQ(seen, 1);
}

TEST_F(LocalContentStoreTest, LabelsAreNotImplemented) {
  EXPECT_THAT(store_->Update(context_, {}, {}), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(LocalContentStoreTest, AFullDiskKeepsWhatWasWrittenAndTheStoreGoesOn) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  store_.reset();
  ASSERT_EQ(::mount("tmpfs", root_.c_str(), "tmpfs", 0, "size=1m"), 0);
  ASSERT_OK_AND_ASSIGN(store_, OpenLocalContentStore(root_));
  auto writer = Open("ref");
  const std::string chunk(300'000, 'x');
  absl::Status status;
  while (status.ok()) status = writer->Write(chunk);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  const int64_t written = writer->status().offset_bytes;
  EXPECT_GE(written, 600'000);
  EXPECT_EQ(writer->digest(), Digest::Of(std::string(static_cast<size_t>(written), 'x')));
  writer.reset();
  EXPECT_EQ(store_->StatusOf(context_, "ref")->offset_bytes, written);
  ASSERT_THAT(store_->Abort(context_, "ref"), IsOk());
  EXPECT_THAT(WriteBlob(context_, *store_, "small", "data", Digest::Of("data"), {}), IsOk());
  store_.reset();
  EXPECT_EQ(::umount(root_.c_str()), 0);
}

}  // namespace
}  // namespace ctrd::content
