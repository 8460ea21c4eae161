// SPDX-License-Identifier: Apache-2.0
#include "base/store/testing/store_suite.h"

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "absl/synchronization/notification.h"
#include "base/files.h"
#include "base/testing/status_matchers.h"

namespace ctrd::store {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;
using Entries = std::vector<std::pair<std::string, std::string>>;

Entries ScanAll(Store& store, std::string_view prefix) {
  Entries entries;
  EXPECT_THAT(store.View([&](ReadTransaction& read) {
    return read.Scan(prefix, [&](std::string_view key, std::string_view value) {
      entries.emplace_back(key, value);
      return true;
    });
  }),
              IsOk());
  return entries;
}

namespace {

absl::Status Put(Store& store, std::string_view key, std::string_view value) {
  return store.Update([&](WriteTransaction& write) { return write.Put(key, value); });
}

std::optional<std::string> Get(Store& store, std::string_view key) {
  std::optional<std::string> found;
  EXPECT_THAT(store.View([&](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(auto value, read.Get(key));
    if (value) found = std::string(*value);
    return absl::OkStatus();
  }),
              IsOk());
  return found;
}

}  // namespace

void StoreSuite::SetUp() {
  auto directory = base::MakeTempDirectory(testing::TempDir(), "store-");
  ASSERT_THAT(directory, IsOk());
  directory_ = *directory;
  Reopen();
}

void StoreSuite::TearDown() {
  store_.reset();
  EXPECT_THAT(base::RemoveTree(directory_), IsOk());
}

void StoreSuite::Reopen() {
  store_.reset();
  ASSERT_OK_AND_ASSIGN(store_, GetParam().open(path(), Options{}));
}

TEST_P(StoreSuite, KeepsWhatWasPutAcrossReopening) {
  ASSERT_THAT(Put(*store_, "a", "1"), IsOk());
  ASSERT_THAT(Put(*store_, "b", ""), IsOk());
  EXPECT_EQ(Get(*store_, "a"), "1");
  Reopen();
  EXPECT_EQ(Get(*store_, "a"), "1");
  EXPECT_EQ(Get(*store_, "b"), "");
  EXPECT_EQ(Get(*store_, "c"), std::nullopt);
}

TEST_P(StoreSuite, FailedUpdateLeavesNothing) {
  ASSERT_THAT(Put(*store_, "a", "1"), IsOk());
  EXPECT_THAT(store_->Update([&](WriteTransaction& write) -> absl::Status {
    RETURN_IF_ERROR(write.Put("a", "2"));
    RETURN_IF_ERROR(write.Put("b", "2"));
    return absl::AbortedError("changed my mind");
  }),
              StatusIs(StatusCode::kAborted, "changed my mind"));
  EXPECT_EQ(Get(*store_, "a"), "1");
  EXPECT_EQ(Get(*store_, "b"), std::nullopt);
}

TEST_P(StoreSuite, UpdateSeesItsOwnWrites) {
  EXPECT_THAT(store_->Update([&](WriteTransaction& write) -> absl::Status {
    RETURN_IF_ERROR(write.Put("a", "1"));
    ASSIGN_OR_RETURN(auto value, write.Get("a"));
    EXPECT_EQ(value, "1");
    RETURN_IF_ERROR(write.Delete("a"));
    ASSIGN_OR_RETURN(value, write.Get("a"));
    EXPECT_EQ(value, std::nullopt);
    return write.Delete("never there");
  }),
              IsOk());
}

TEST_P(StoreSuite, ScanGoesThroughOnePrefixInOrder) {
  for (const std::string_view key : {"b/2", "a", "b/1", "c", "b"}) {
    ASSERT_THAT(Put(*store_, key, key), IsOk());
  }
  EXPECT_EQ(ScanAll(*store_, "b/"), (Entries{{"b/1", "b/1"}, {"b/2", "b/2"}}));
  EXPECT_EQ(ScanAll(*store_, "").size(), 5);
  int seen = 0;
  EXPECT_THAT(store_->View([&](ReadTransaction& read) {
    return read.Scan("", [&](auto, auto) { return ++seen < 2; });
  }),
              IsOk());
  EXPECT_EQ(seen, 2);
}

TEST_P(StoreSuite, ViewIsAnUnchangingPicture) {
  ASSERT_THAT(Put(*store_, "a", "1"), IsOk());
  absl::Notification reading, written;
  std::thread reader([&] {
    EXPECT_THAT(store_->View([&](ReadTransaction& read) -> absl::Status {
      reading.Notify();
      written.WaitForNotification();
      ASSIGN_OR_RETURN(auto value, read.Get("a"));
      EXPECT_EQ(value, "1");
      return absl::OkStatus();
    }),
                IsOk());
  });
  reading.WaitForNotification();
  EXPECT_THAT(Put(*store_, "a", "2"), IsOk());
  written.Notify();
  reader.join();
  EXPECT_EQ(Get(*store_, "a"), "2");
}

TEST_P(StoreSuite, RefusesKeysItCannotHold) {
  EXPECT_THAT(Put(*store_, "", "x"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Put(*store_, std::string(501, 'k'), "x"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Put(*store_, std::string(500, 'k'), "x"), IsOk());
}

TEST_P(StoreSuite, SecondOpenerIsRefusedByName) {
  EXPECT_THAT(GetParam().open(path(), Options{}),
              StatusIs(StatusCode::kFailedPrecondition,
                       testing::AllOf(testing::HasSubstr(path()),
                                      testing::HasSubstr("is in use by another process"))));
}

TEST_P(StoreSuite, DamagedFileIsDataLoss) {
  store_.reset();
  ASSERT_THAT(base::WriteFileAtomically(path(), std::string(16384, 'x'), 0600), IsOk());
  EXPECT_THAT(GetParam().open(path(), Options{}), StatusIs(StatusCode::kDataLoss));
  ASSERT_THAT(base::RemoveTree(path()), IsOk());
}

TEST_P(StoreSuite, FileCutShortIsDataLoss) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_THAT(Put(*store_, "key" + std::to_string(i), std::string(3000, 'v')), IsOk());
  }
  store_.reset();
  std::filesystem::resize_file(path(), std::filesystem::file_size(path()) / 4 / 4096 * 4096);
  EXPECT_THAT(GetParam().open(path(), Options{}), StatusIs(StatusCode::kDataLoss));
}

TEST_P(StoreSuite, AgreesWithAMapOverRandomOperations) {
  std::mt19937 random(42);
  std::map<std::string, std::string> model;
  for (int round = 0; round < 60; ++round) {
    auto changed = model;
    const bool fail = random() % 4 == 0;
    std::vector<std::pair<std::string, std::optional<std::string>>> steps;
    for (int i = 0; i < 20; ++i) {
      const std::string key = Key({std::to_string(random() % 10), std::to_string(random() % 20)});
      if (random() % 3 == 0) {
        steps.emplace_back(key, std::nullopt);
        changed.erase(key);
      } else {
        steps.emplace_back(key,
                           std::string(random() % 6000, static_cast<char>('a' + random() % 26)));
        changed[key] = *steps.back().second;
      }
    }
    const absl::Status status = store_->Update([&](WriteTransaction& write) -> absl::Status {
      for (const auto& [key, value] : steps) {
        RETURN_IF_ERROR(value ? write.Put(key, *value) : write.Delete(key));
      }
      return fail ? absl::AbortedError("") : absl::OkStatus();
    });
    ASSERT_EQ(status.ok(), !fail);
    if (!fail) model = changed;
    if (round % 20 == 19) Reopen();
    ASSERT_EQ(ScanAll(*store_, ""), Entries(model.begin(), model.end()));
  }
}

TEST_P(StoreSuite, WritersShareSyncs) {
  constexpr int kWriters = 16, kUpdates = 40;
  const Statistics before = store_->statistics();
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kUpdates; ++i) {
        // Every fifth fails: it must not take its neighbours with it.
        const absl::Status status = store_->Update([&](WriteTransaction& write) -> absl::Status {
          RETURN_IF_ERROR(write.Put(Key({std::to_string(w), std::to_string(i)}), "v"));
          return i % 5 == 4 ? absl::AbortedError("") : absl::OkStatus();
        });
        EXPECT_EQ(status.ok(), i % 5 != 4);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  const Statistics after = store_->statistics();
  EXPECT_EQ(after.updates - before.updates, kWriters * kUpdates * 4 / 5);
  EXPECT_LT((after.syncs - before.syncs) * 2, after.updates - before.updates);
  EXPECT_EQ(ScanAll(*store_, "").size(), kWriters * kUpdates * 4 / 5);
}

TEST_P(StoreSuite, GrowsWhileOthersRead) {
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop) {
      ScanAll(*store_, "");
      std::this_thread::yield();
    }
  });
  const std::string megabyte(1 << 20, 'x');
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(Put(*store_, "key" + std::to_string(i), megabyte), IsOk());
  }
  stop = true;
  reader.join();
  EXPECT_EQ(ScanAll(*store_, "").size(), 100);
}

TEST(StoreKeyTest, PartsKeepTheirBytesAndOrder) {
  const std::vector<std::string> parts{"a", std::string("\0\1\2", 3), "", "z/ä"};
  EXPECT_EQ(SplitKey(Key({parts[0], parts[1], parts[2], parts[3]})), parts);
  EXPECT_LT(Key({"a"}), Key({"a", "b"}));
  EXPECT_LT(Key({"a", "z"}), Key({"a.b", "a"}));
  EXPECT_LT(Key({std::string_view("\0", 1)}), Key({"\1"}));
  EXPECT_LT(Key({"\1"}), Key({"\2"}));
  EXPECT_FALSE(Key({"ab"}).starts_with(Key({"a"})));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreSuite);

}  // namespace ctrd::store
