// SPDX-License-Identifier: Apache-2.0
#include "ctr/commands.h"

#include "base/status.h"

namespace ctrd::ctr {

Flag SnapshotterFlag() {
  return {FlagKind::kText, "snapshotter", "the snapshotter to use; empty for the default one", "",
          "CONTAINERD_SNAPSHOTTER"};
}

Flag LabelFlag(std::string description) {
  return {FlagKind::kList, "label", std::move(description)};
}

Flag QuietFlag(std::string what) {
  return {FlagKind::kSwitch, "quiet,q", "print only " + std::move(what)};
}

Command MissingCommand(std::string names, std::string summary) {
  Command command{.names = std::move(names),
                  .summary = std::move(summary) + " (not in this ctr yet)"};
  const std::string name = command.name();
  command.action = [name](Invocation&) {
    return base::Unimplemented("command {} is not in this ctr yet", name);
  };
  return command;
}

}  // namespace ctrd::ctr
