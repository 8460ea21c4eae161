// SPDX-License-Identifier: Apache-2.0
// Between the files of the content group.
#pragma once

#include "ctr/cli/command.h"

namespace ctrd::ctr {

Command ContentEditCommand();
Command ContentPruneCommand();

}  // namespace ctrd::ctr
