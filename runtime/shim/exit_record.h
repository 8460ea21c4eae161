// SPDX-License-Identifier: Apache-2.0

// How a process ended, kept in the bundle from before the exit is announced until an exec is
// deleted, or the container's bundle removed: <bundle>/exit, or <bundle>/<exec id>.exit, holds the
// encoded DeleteResponse (pid 1, exit_status 2, exited_at 3) of the task API. It outlives the shim;
// `delete` answers from it. Source document: docs/formats/exit-record.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace ctrd::runtime::shim {

struct ExitRecord {
  uint32_t pid = 0;
  uint32_t status = 0;
  absl::Time at;
};

std::string EncodeExit(const ExitRecord& record);
absl::Status WriteExitRecord(const std::string& bundle, const std::string& exec_id,
                             const ExitRecord& record);
std::optional<ExitRecord> ReadExitRecord(const std::string& bundle, const std::string& exec_id);
void RemoveExitRecord(const std::string& bundle, const std::string& exec_id);

}  // namespace ctrd::runtime::shim
