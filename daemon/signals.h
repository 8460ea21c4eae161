// SPDX-License-Identifier: Apache-2.0

// The daemon's signals: SIGTERM and SIGINT end it, SIGUSR1 makes it tell what its threads do,
// SIGPIPE is ignored.
#pragma once

namespace ctrd {

// Blocks the signals in this thread and all it starts. Call it first in main.
void BlockSignals();
// Serves signals until one asks the daemon to end; its number.
int WaitForEnd();

}  // namespace ctrd
