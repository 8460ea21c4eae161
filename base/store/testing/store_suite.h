// SPDX-License-Identifier: Apache-2.0

// What base/store/store.h promises, as tests. An implementation instantiates StoreSuite with a way
// to open a store in a file.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/store/store.h"
#include "gtest/gtest.h"

namespace ctrd::store {

struct StoreDriver {
  std::string name;
  std::function<absl::StatusOr<std::unique_ptr<Store>>(const std::string&, const Options&)> open;
};

class StoreSuite : public testing::TestWithParam<StoreDriver> {
 protected:
  void SetUp() override;
  void TearDown() override;
  std::string path() const { return directory_ + "/store.db"; }
  void Reopen();

  std::string directory_;
  std::unique_ptr<Store> store_;
};

// All entries that start with `prefix`.
std::vector<std::pair<std::string, std::string>> ScanAll(Store& store, std::string_view prefix);

}  // namespace ctrd::store
