// SPDX-License-Identifier: Apache-2.0
#include "base/store/testing/store_suite.h"

namespace ctrd::store {
namespace {

INSTANTIATE_TEST_SUITE_P(Drivers, StoreSuite, testing::Values(StoreDriver{"Lmdb", OpenStore}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ctrd::store
