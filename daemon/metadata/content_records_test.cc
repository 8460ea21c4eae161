// SPDX-License-Identifier: Apache-2.0
#include "daemon/metadata/testing/metadata_fixture.h"
#include "images/content/testing/content_store_suite.h"

namespace ctrd::metadata {
namespace {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;
using content::Digest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// A content store that owns all it stands on.
class OwningContentStore final : public content::ContentStore {
 public:
  explicit OwningContentStore(const std::string& root) {
    auto opened =
        Metadata::Open({.path = root + "/meta.lmdb", .sync = false}, &backend_, {}, nullptr);
    EXPECT_THAT(opened, IsOk());
    metadata_ = *std::move(opened);
  }
  absl::StatusOr<content::Info> Stat(const base::Context& c, const Digest& d) override {
    return store().Stat(c, d);
  }
  absl::StatusOr<content::Info> Update(const base::Context& c, const content::Info& i,
                                       const content::LabelsUpdate& u) override {
    return store().Update(c, i, u);
  }
  absl::Status Walk(const base::Context& c, const base::Filter& f,
                    const std::function<absl::Status(const content::Info&)>& v) override {
    return store().Walk(c, f, v);
  }
  absl::Status Delete(const base::Context& c, const Digest& d) override {
    return store().Delete(c, d);
  }
  absl::StatusOr<std::unique_ptr<content::Reader>> OpenReader(const base::Context& c,
                                                              const Digest& d) override {
    return store().OpenReader(c, d);
  }
  absl::StatusOr<std::unique_ptr<content::Writer>> OpenWriter(
      const base::Context& c, const content::WriterOptions& o) override {
    return store().OpenWriter(c, o);
  }
  absl::StatusOr<content::IngestStatus> StatusOf(const base::Context& c,
                                                 std::string_view r) override {
    return store().StatusOf(c, r);
  }
  absl::StatusOr<std::vector<content::IngestStatus>> ListStatuses(const base::Context& c,
                                                                  const base::Filter& f) override {
    return store().ListStatuses(c, f);
  }
  absl::Status Abort(const base::Context& c, std::string_view r) override {
    return store().Abort(c, r);
  }

 private:
  content::ContentStore& store() { return metadata_->content(); }
  content::FakeContentStore backend_;
  std::unique_ptr<Metadata> metadata_;
};

absl::StatusOr<std::unique_ptr<content::ContentStore>> OpenOwning(const std::string& root) {
  return std::make_unique<OwningContentStore>(root);
}

class ContentRecordsTest : public MetadataTest {
 protected:
  content::ContentStore& content() { return metadata_->content(); }
};

TEST_F(ContentRecordsTest, BlobIsVisibleOnlyWhereItWasCommitted) {
  const Digest digest = PutBlob(context_, "data", {{"a", "1"}, {"none", ""}});
  ASSERT_OK_AND_ASSIGN(const auto info, content().Stat(context_, digest));
  EXPECT_EQ(info.size_bytes, 4);
  EXPECT_THAT(info.labels, ElementsAre(Pair("a", "1")));
  EXPECT_THAT(content().Stat(other_, digest),
              StatusIs(StatusCode::kNotFound, "content digest " + digest.text() + ": not found"));
  EXPECT_THAT(content().OpenReader(other_, digest), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(content().OpenReader(context_, digest), IsOk());
  EXPECT_THAT(events_.TakeTopics(), ElementsAre("ns /content/create"));
}

TEST_F(ContentRecordsTest, SharedBlobIsAdoptedWithoutData) {
  const Digest digest = PutBlob(context_, "data");
  ASSERT_OK_AND_ASSIGN(auto writer, content().OpenWriter(other_, {.ref = "r", .expected = digest}));
  EXPECT_EQ(writer->status().offset_bytes, 4);
  EXPECT_EQ(writer->status().ref, "r");
  EXPECT_EQ(writer->digest(), digest);
  EXPECT_THAT(content().StatusOf(other_, "r"),
              StatusIs(StatusCode::kNotFound, "reference r: not found"));
  // Gone where it came from; the ingest keeps the bytes.
  ASSERT_THAT(content().Delete(context_, digest), IsOk());
  Collect();
  EXPECT_EQ(BlobsInBackend(), 1);
  EXPECT_THAT(writer->Commit(other_, 4, digest, {{"l", "v"}}), IsOk());
  EXPECT_TRUE(HasBlob(other_, digest));
}

TEST_F(ContentRecordsTest, AdoptedWriterChecksWhatIsCommitted) {
  const Digest digest = PutBlob(context_, "data");
  const auto open = [&] { return *content().OpenWriter(other_, {.ref = "r", .expected = digest}); };
  EXPECT_THAT(open()->Commit(other_, 3, {}, {}),
              StatusIs(StatusCode::kFailedPrecondition,
                       "\"r\" failed size validation: 4 != 3: failed precondition"));
  EXPECT_THAT(
      open()->Commit(other_, 0, Digest::Of("x"), {}),
      StatusIs(StatusCode::kFailedPrecondition, "\"r\" unexpected digest: failed precondition"));
}

TEST_F(ContentRecordsTest, AdoptedWriterTakesOtherData) {
  const Digest digest = PutBlob(context_, "data");
  {
    ASSERT_OK_AND_ASSIGN(auto writer,
                         content().OpenWriter(other_, {.ref = "r", .expected = digest}));
    ASSERT_THAT(writer->Write("+more"), IsOk());
    EXPECT_THAT(writer->Commit(other_, 9, Digest::Of("data+more"), {}), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(auto writer, content().OpenWriter(other_, {.ref = "s", .expected = digest}));
  ASSERT_THAT(writer->Truncate(0), IsOk());
  ASSERT_THAT(writer->Write("data"), IsOk());
  EXPECT_THAT(writer->Commit(other_, 4, digest, {}), IsOk());
  EXPECT_TRUE(HasBlob(other_, digest));
}

TEST_F(ContentRecordsTest, IsolatedNamespaceMustBringItsBytes) {
  Open(SharingPolicy::kIsolated);
  const Digest digest = PutBlob(context_, "data");
  {
    ASSERT_OK_AND_ASSIGN(auto writer,
                         content().OpenWriter(other_, {.ref = "r", .expected = digest}));
    EXPECT_EQ(writer->status().offset_bytes, 0);
    ASSERT_THAT(writer->Write("data"), IsOk());
    EXPECT_THAT(writer->Commit(other_, 4, digest, {}), IsOk());
  }
  EXPECT_EQ(BlobsInBackend(), 1);
  ASSERT_THAT(metadata_->namespaces().Update(
                  context_, {"ns", {{"containerd.io/namespace.shareable", "true"}}}, {}),
              IsOk());
  ASSERT_OK_AND_ASSIGN(
      auto writer, content().OpenWriter(base::Context("third"), {.ref = "r", .expected = digest}));
  EXPECT_EQ(writer->status().offset_bytes, 4);
}

TEST_F(ContentRecordsTest, ExistingBlobEndsTheOpenAndJoinsTheLease) {
  const Digest digest = PutBlob(context_, "data");
  ASSERT_THAT(metadata_->leases().Create(context_, {.id = "l"}), IsOk());
  EXPECT_THAT(
      content().OpenWriter(context_.WithLease("l"), {.ref = "r", .expected = digest}),
      StatusIs(StatusCode::kAlreadyExists, "content " + digest.text() + ": already exists"));
  EXPECT_THAT(*metadata_->leases().ListResources(context_, "l"),
              ElementsAre(images::LeaseResource{digest.text(), "content"}));
  EXPECT_THAT(
      content().OpenWriter(context_.WithLease("no"), {.ref = "r", .expected = digest}),
      StatusIs(StatusCode::kNotFound, "unable to lease content: lease does not exist: not found"));
  EXPECT_THAT(content().OpenWriter(context_.WithLease("no"), {.ref = "r"}),
              StatusIs(StatusCode::kNotFound, "lease does not exist: not found"));
  EXPECT_THAT(*content().ListStatuses(context_, {}), ElementsAre());
}

TEST_F(ContentRecordsTest, LeaseFollowsTheIngestToTheBlob) {
  ASSERT_THAT(metadata_->leases().Create(context_, {.id = "l"}), IsOk());
  const base::Context leased = context_.WithLease("l");
  ASSERT_OK_AND_ASSIGN(auto writer, content().OpenWriter(leased, {.ref = "r"}));
  EXPECT_THAT(*metadata_->leases().ListResources(context_, "l"),
              ElementsAre(images::LeaseResource{"r", "ingests"}));
  ASSERT_THAT(writer->Write("x"), IsOk());
  ASSERT_THAT(writer->Commit(leased, 0, {}, {}), IsOk());
  EXPECT_THAT(*metadata_->leases().ListResources(context_, "l"),
              ElementsAre(images::LeaseResource{Digest::Of("x").text(), "content"}));
}

TEST_F(ContentRecordsTest, FailedCommitKeepsTheIngest) {
  const auto open = [&] { return *content().OpenWriter(context_, {.ref = "r"}); };
  ASSERT_THAT(open()->Write("data"), IsOk());
  EXPECT_THAT(open()->Commit(context_, 5, {}, {}),
              StatusIs(StatusCode::kFailedPrecondition,
                       "\"r\" failed size validation: 4 != 5: failed precondition"));
  EXPECT_THAT(open()->Commit(context_, 0, Digest::Of("x"), {}),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("unexpected commit digest")));
  EXPECT_THAT(open()->Commit(context_, 0, {}, {{"k", std::string(4096, 'v')}}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("info.Labels: label key")));
  EXPECT_EQ(content().StatusOf(context_, "r")->offset_bytes, 4);
  EXPECT_THAT(open()->Commit(context_, 4, Digest::Of("data"), {}), IsOk());
}

TEST_F(ContentRecordsTest, RefsOfNamespacesDoNotCollide) {
  ASSERT_OK_AND_ASSIGN(auto mine, content().OpenWriter(context_, {.ref = "r"}));
  ASSERT_OK_AND_ASSIGN(auto theirs, content().OpenWriter(other_, {.ref = "r"}));
  EXPECT_THAT(content().OpenWriter(context_, {.ref = "r"}),
              StatusIs(StatusCode::kUnavailable, HasSubstr("ref ns/1/r locked for")));
  EXPECT_EQ(content().ListStatuses(context_, {})->size(), 1);
  mine.reset();
  EXPECT_THAT(content().Abort(context_, "r"), IsOk());
  EXPECT_THAT(content().Abort(context_, "r"),
              StatusIs(StatusCode::kNotFound, "reference r: not found"));
}

TEST_F(ContentRecordsTest, SecondCommitIsToldAndChangesNothing) {
  const Digest digest = PutBlob(context_, "data", {{"a", "1"}});
  ASSERT_OK_AND_ASSIGN(auto writer, content().OpenWriter(context_, {.ref = "again"}));
  ASSERT_THAT(writer->Write("data"), IsOk());
  EXPECT_THAT(
      writer->Commit(context_, 4, digest, {{"b", "2"}}),
      StatusIs(StatusCode::kAlreadyExists, "content " + digest.text() + ": already exists"));
  EXPECT_THAT(content().Stat(context_, digest)->labels, ElementsAre(Pair("a", "1")));
  EXPECT_THAT(*content().ListStatuses(context_, {}), ElementsAre());
}

TEST_F(ContentRecordsTest, LabelsAreReplacedOrSetOneByOne) {
  const Digest digest = PutBlob(context_, "data", {{"a", "1"}, {"b", "2"}});
  content::Info change{.digest = digest, .labels = {{"a", ""}, {"c", "3"}}};
  ASSERT_OK_AND_ASSIGN(
      auto info, content().Update(context_, change, {.replace_all = false, .keys = {"a", "c"}}));
  EXPECT_THAT(info.labels, ElementsAre(Pair("b", "2"), Pair("c", "3")));
  ASSERT_OK_AND_ASSIGN(info, content().Update(context_, change, {}));
  EXPECT_THAT(info.labels, ElementsAre(Pair("c", "3")));
}

}  // namespace
}  // namespace ctrd::metadata

namespace ctrd::content {
namespace {

INSTANTIATE_TEST_SUITE_P(
    Namespaced, ContentStoreSuite,
    testing::Values(ContentDriver{
        .name = "Namespaced", .open = metadata::OpenOwning, .persistent = false, .labels = true}),
    NameOf);

}  // namespace
}  // namespace ctrd::content
