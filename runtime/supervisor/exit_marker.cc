// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/exit_marker.h"

#include <fcntl.h>

#include "base/files.h"

namespace ctrd::runtime {
namespace {

std::string MarkerOf(const std::string& bundle_path) { return bundle_path + "/exit-told"; }

}  // namespace

void MarkExitTold(const std::string& bundle_path) {
  // Without the mark an exit is told twice, which subscribers must bear.
  (void)base::Open(MarkerOf(bundle_path), O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
}

bool ExitWasTold(const std::string& bundle_path) { return base::Exists(MarkerOf(bundle_path)); }

}  // namespace ctrd::runtime
