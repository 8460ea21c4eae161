// SPDX-License-Identifier: Apache-2.0

// The suite of the content store's contract. An implementation links images_content_suite and says
//
//   INSTANTIATE_TEST_SUITE_P(Drivers, ContentStoreSuite, testing::Values(ContentDriver{…}),
//   NameOf);
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/context.h"
#include "gtest/gtest.h"
#include "images/content/content_store.h"

namespace ctrd::content {

struct ContentDriver {
  std::string name;  // Of the test: letters and digits.
  // Opens the store kept in the directory `root`, which exists. Called again on the same directory
  // after the store was destroyed, if `persistent`.
  std::function<absl::StatusOr<std::unique_ptr<ContentStore>>(const std::string& root)> open;
  bool persistent = true;
  bool labels = false;  // Whether the store keeps labels.
};

inline std::string NameOf(const testing::TestParamInfo<ContentDriver>& info) {
  return info.param.name;
}

class ContentStoreSuite : public testing::TestWithParam<ContentDriver> {
 protected:
  void SetUp() override;
  void TearDown() override;
  // Destroys the store and opens it again.
  void Reopen();

  std::unique_ptr<Writer> Open(const std::string& ref, int64_t total_bytes = 0,
                               const Digest& expected = {});
  // Writes a blob and expects success.
  Digest Put(const std::string& data, const Labels& labels = {});

  const base::Context context_{"suite"};
  std::string root_;
  std::unique_ptr<ContentStore> store_;
};

}  // namespace ctrd::content
