// SPDX-License-Identifier: Apache-2.0
#include "images/content/testing/fake_content_store.h"

#include "images/content/testing/content_store_suite.h"

namespace ctrd::content {
namespace {

INSTANTIATE_TEST_SUITE_P(
    Drivers, ContentStoreSuite,
    testing::Values(ContentDriver{
        .name = "Fake",
        .open = [](const std::string&) { return std::make_unique<FakeContentStore>(); },
        .persistent = false,
        .labels = true}),
    NameOf);

}  // namespace
}  // namespace ctrd::content
