// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ctrd::services {

// Reads one encoded google.protobuf.Any from standard input and publishes it at the daemon on
// `address`: how shims of old generations hand in events.
absl::Status PublishFromStandardInput(const std::string& address, const std::string& name_space,
                                      const std::string& topic);

}  // namespace ctrd::services
