// SPDX-License-Identifier: Apache-2.0
// Between the files of the images group.
#pragma once

#include "ctr/cli/command.h"

namespace ctrd::ctr {

// Those that move images, by the Transfer service.
Command ImagesPullCommand();
Command ImagesPushCommand();
Command ImagesImportCommand();
Command ImagesExportCommand();
Command ImagesTagCommand();

Command ImageMountCommand();
Command ImageUnmountCommand();

}  // namespace ctrd::ctr
