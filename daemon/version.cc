// SPDX-License-Identifier: Apache-2.0
#include "daemon/version.h"

namespace ctrd {

#ifndef CTRD_REVISION
#define CTRD_REVISION "unknown"
#endif
const char* const kRevision = CTRD_REVISION;

}  // namespace ctrd
