// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/files.h"
#include "base/store/store.h"
#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::store {
namespace {

using absl::StatusCode;
using base::IsOk;
using base::StatusIs;

class StoreDiskFullTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small tmpfs";
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory(testing::TempDir(), "full-"));
    ASSERT_EQ(::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=2m"), 0);
  }
  void TearDown() override {
    if (directory_.empty()) return;
    EXPECT_EQ(::umount2(directory_.c_str(), MNT_DETACH), 0);
    EXPECT_EQ(::rmdir(directory_.c_str()), 0);
  }
  std::string directory_;
};

TEST_F(StoreDiskFullTest, UpdateFailsAloneAndTheStoreGoesOn) {
  ASSERT_OK_AND_ASSIGN(auto store, OpenStore(directory_ + "/store.db", Options{}));
  ASSERT_THAT(store->Update([](WriteTransaction& write) { return write.Put("small", "1"); }),
              IsOk());
  const std::string big(4 << 20, 'x');
  EXPECT_THAT(store->Update([&](WriteTransaction& write) { return write.Put("big", big); }),
              StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(store->Update([](WriteTransaction& write) { return write.Put("small", "2"); }),
              IsOk());
  EXPECT_THAT(store->View([](ReadTransaction& read) -> absl::Status {
    ASSIGN_OR_RETURN(auto value, read.Get("small"));
    EXPECT_EQ(value, "2");
    ASSIGN_OR_RETURN(auto missing, read.Get("big"));
    EXPECT_EQ(missing, std::nullopt);
    return absl::OkStatus();
  }),
              IsOk());
}

TEST_F(StoreDiskFullTest, FullStoreCanBeEmptiedAgain) {
  ASSERT_OK_AND_ASSIGN(auto store, OpenStore(directory_ + "/store.db", Options{}));
  const std::string value(10000, 'x');
  int count = 0;
  absl::Status status;
  while (status.ok()) {
    status = store->Update(
        [&](WriteTransaction& write) { return write.Put("key" + std::to_string(count), value); });
    if (status.ok()) ++count;
  }
  EXPECT_THAT(status, StatusIs(StatusCode::kResourceExhausted));
  ASSERT_GT(count, 10);
  for (int i = 0; i < count; ++i) {
    ASSERT_THAT(store->Update([&](WriteTransaction& write) {
      return write.Delete("key" + std::to_string(i));
    }),
                IsOk())
        << i;
  }
  store.reset();
  EXPECT_THAT(OpenStore(directory_ + "/store.db", Options{}), IsOk());
}

TEST_F(StoreDiskFullTest, OpeningOnAFullDiskFails) {
  ASSERT_FALSE(
      base::WriteFileAtomically(directory_ + "/ballast", std::string(4 << 20, 'x'), 0600).ok());
  base::UniqueFd ballast(
      ::open((directory_ + "/ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  while (::write(ballast.get(), std::string(4096, 'x').data(), 4096) == 4096) continue;
  EXPECT_THAT(OpenStore(directory_ + "/store.db", Options{}),
              StatusIs(StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace ctrd::store
