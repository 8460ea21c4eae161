// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/exit_record.h"

#include <unistd.h>

#include "base/files.h"
#include "base/wire.h"

namespace ctrd::runtime::shim {
namespace {

constexpr size_t kMostBytes = 1024;

std::string PathOf(const std::string& bundle, const std::string& exec_id) {
  return exec_id.empty() ? bundle + "/exit" : bundle + "/" + exec_id + ".exit";
}

}  // namespace

std::string EncodeExit(const ExitRecord& record) {
  return base::WireWriter()
      .Varint(1, record.pid)
      .Varint(2, record.status)
      .Time(3, record.at)
      .Take();
}

absl::Status WriteExitRecord(const std::string& bundle, const std::string& exec_id,
                             const ExitRecord& record) {
  // Whole or not at all, and not synced: it has to outlive processes, as bundles do, not the host.
  return base::WriteFileAtomically(PathOf(bundle, exec_id), EncodeExit(record), 0600);
}

std::optional<ExitRecord> ReadExitRecord(const std::string& bundle, const std::string& exec_id) {
  const absl::StatusOr<std::string> bytes = base::ReadFile(PathOf(bundle, exec_id), kMostBytes);
  if (!bytes.ok()) return std::nullopt;
  ExitRecord record;
  base::WireReader reader(*bytes);
  while (const auto field = reader.Next()) {
    if (field->number == 1) record.pid = static_cast<uint32_t>(field->varint);
    if (field->number == 2) record.status = static_cast<uint32_t>(field->varint);
    if (field->number == 3) record.at = base::ReadWireTime(field->bytes);
  }
  if (!reader.ok()) return std::nullopt;
  return record;
}

void RemoveExitRecord(const std::string& bundle, const std::string& exec_id) {
  (void)::unlink(PathOf(bundle, exec_id).c_str());  // Absent is fine.
}

}  // namespace ctrd::runtime::shim
