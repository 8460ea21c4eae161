// SPDX-License-Identifier: Apache-2.0
#include "snapshots/testing/fake_snapshotter.h"

#include "snapshots/testing/snapshotter_suite.h"

namespace ctrd::snapshots {

INSTANTIATE_TEST_SUITE_P(
    Drivers, SnapshotterSuite,
    testing::Values(SnapshotterDriver{
        .name = "Fake",
        .open = [](const std::string&) { return std::make_unique<FakeSnapshotter>(); },
        .keeps_files = false,
        .is_persistent = false}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace ctrd::snapshots
