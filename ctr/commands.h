// SPDX-License-Identifier: Apache-2.0
// The commands of ctr, one file for each group.
#pragma once

#include "ctr/cli/command.h"

namespace ctrd::ctr {

Command ContainersCommand();
Command ContentCommand();
Command DeprecationsCommand();
Command EventsCommand();
Command ImagesCommand();
Command InfoCommand();
Command InspectRuntimeCommand();
Command LeasesCommand();
Command NamespacesCommand();
Command OciCommand();
Command PluginsCommand();
Command RunCommand();
Command ShimCommand();
Command SnapshotsCommand();
Command TasksCommand();
Command VersionCommand();

// A command that this ctr does not have yet: says so and fails.
Command MissingCommand(std::string names, std::string summary);

// --snapshotter, from the environment too.
Flag SnapshotterFlag();
Flag LabelFlag(std::string description);
Flag QuietFlag(std::string what);

}  // namespace ctrd::ctr
