// SPDX-License-Identifier: Apache-2.0

// Gives back what only the start of the program needed: free heap, and the pages of the program's
// file that were mapped while it initialised itself (the kernel maps 64 KiB around each page that
// is touched). A daemon rests for days: what it does use comes back from the page cache, some
// microseconds for each such neighbourhood, and the rest is the kernel's to reclaim.
#pragma once

namespace ctrd {

void ReleaseStartupMemory();

}  // namespace ctrd
