// SPDX-License-Identifier: Apache-2.0
#include "snapshots/storage/record_store.h"

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "snapshots/storage/file_system_sync.h"
#include "snapshots/storage/record_codec.h"
#include "snapshots/storage/snapshot_directories.h"

namespace ctrd::snapshots {
namespace {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;
using testing::ElementsAre;

class RecordStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory("/tmp", "ctrd-records-"));
    ASSERT_OK_AND_ASSIGN(records_, RecordStore::Open(directory_ + "/metadata.lmdb", 1));
  }
  void TearDown() override {
    records_.reset();
    EXPECT_THAT(base::RemoveTree(directory_), IsOk());
  }
  uint64_t Add(Kind kind, const std::string& key, const std::string& parent) {
    const Reservation reservation = records_->Reserve();
    auto draft = records_->Draft(kind, key, parent, {}, reservation.id());
    EXPECT_THAT(draft, IsOk());
    EXPECT_THAT(records_->Add(*draft), IsOk());
    return reservation.id();
  }
  uint64_t AddCommitted(const std::string& name, const std::string& parent) {
    const uint64_t id = Add(Kind::kActive, "edit", parent);
    EXPECT_THAT(records_->Commit(name, "edit", id, {}, "", Usage{}), IsOk());
    return id;
  }

  std::string directory_;
  std::unique_ptr<RecordStore> records_;
};

TEST_F(RecordStoreTest, ParentsAreListedNearestFirst) {
  const uint64_t one = AddCommitted("one", "");
  const uint64_t two = AddCommitted("two", "one");
  Add(Kind::kActive, "three", "two");
  EXPECT_THAT(records_->Find("three")->parent_ids, ElementsAre(two, one));
}

TEST_F(RecordStoreTest, AReservedNumberIsInUseUntilItIsLetGo) {
  uint64_t id = 0;
  {
    const Reservation reservation = records_->Reserve();
    id = reservation.id();
    EXPECT_THAT(*records_->IdsInUse(), ElementsAre(id));
  }
  EXPECT_THAT(*records_->IdsInUse(), testing::IsEmpty());
  EXPECT_GT(records_->Reserve().id(), id);
}

TEST_F(RecordStoreTest, ADraftIsCheckedAgainWhenItIsAdded) {
  AddCommitted("base", "");
  const Reservation reservation = records_->Reserve();
  ASSERT_OK_AND_ASSIGN(Record draft,
                       records_->Draft(Kind::kActive, "a", "base", {}, reservation.id()));
  ASSERT_THAT(records_->Remove("base"), IsOk());
  EXPECT_THAT(records_->Add(draft), StatusIs(StatusCode::kNotFound));
  AddCommitted("base", "");  // Of the same name, with other files.
  EXPECT_THAT(records_->Add(draft), StatusIs(StatusCode::kNotFound));
}

TEST_F(RecordStoreTest, ACommitIsForTheSnapshotThatWasMeasured) {
  const uint64_t first = Add(Kind::kActive, "a", "");
  ASSERT_THAT(records_->Remove("a"), IsOk());
  Add(Kind::kActive, "a", "");
  EXPECT_THAT(records_->Commit("name", "a", first, {}, "", Usage{}),
              StatusIs(StatusCode::kNotFound));
}

TEST_F(RecordStoreTest, ARemovedChildFreesItsParent) {
  AddCommitted("base", "");
  AddCommitted("other", "");
  Add(Kind::kView, "v", "base");
  EXPECT_THAT(records_->Remove("base"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(records_->Remove("other"), IsOk());
  EXPECT_THAT(records_->Remove("v"), IsOk());
  EXPECT_THAT(records_->Remove("base"), IsOk());
}

TEST(RecordCodecTest, ARecordSurvivesItsBytes) {
  Record record{.id = 7, .info = {}, .usage = {.size_bytes = 1 << 20, .inodes = 3}};
  record.info = {.kind = Kind::kCommitted,
                 .name = "n",
                 .parent = "p",
                 .labels = {{"a", "1"}, {"b", "2"}},
                 .created = absl::FromUnixNanos(1234567890123456789),
                 .updated = absl::FromUnixNanos(1234567890123456790)};
  ASSERT_OK_AND_ASSIGN(Record copy, DecodeRecord("n", EncodeRecord(record)));
  EXPECT_EQ(copy.id, 7u);
  EXPECT_EQ(copy.info.kind, Kind::kCommitted);
  EXPECT_EQ(copy.info.parent, "p");
  EXPECT_EQ(copy.info.labels, record.info.labels);
  EXPECT_EQ(copy.info.created, record.info.created);
  EXPECT_EQ(copy.info.updated, record.info.updated);
  EXPECT_EQ(copy.usage.size_bytes, 1 << 20);
  EXPECT_EQ(copy.usage.inodes, 3);
}

TEST(RecordCodecTest, DamagedBytesAreNoRecord) {
  for (const std::string_view bytes : {"", "\xff", "\x08\x01", "\x08\x01\x10\x09", "abc"}) {
    EXPECT_THAT(DecodeRecord("n", bytes), StatusIs(StatusCode::kDataLoss));
  }
}

TEST(MappedRootTest, TheHostsIdOfTheContainersRoot) {
  const auto root = [](const std::string& map) {
    return MappedRoot({{std::string(kUidMapLabel), map}, {std::string(kGidMapLabel), "0:7:1"}});
  };
  EXPECT_EQ((*root("0:1000:10"))->uid, 1000u);
  EXPECT_EQ((*root("1:5:5,0:2000:1"))->uid, 2000u);
  EXPECT_EQ(MappedRoot({})->has_value(), false);
  for (const char* bad : {"0", "0:1", "a:b:c", "1:5:5", "0:1:0", "0:1:1:1", "0:1:1;"}) {
    EXPECT_THAT(root(bad), StatusIs(StatusCode::kInvalidArgument)) << bad;
  }
}

}  // namespace
}  // namespace ctrd::snapshots
