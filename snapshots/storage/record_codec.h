// SPDX-License-Identifier: Apache-2.0

// The bytes of a snapshot's record. Source document: docs/formats/snapshot-records.md.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "snapshots/storage/record_store.h"

namespace ctrd::snapshots {

// The name is the key of the record and not part of it; neither are the parents' numbers.
std::string EncodeRecord(const Record& record);
// kDataLoss where the bytes are no record.
absl::StatusOr<Record> DecodeRecord(std::string_view name, std::string_view bytes);

std::string EncodeId(uint64_t id);
uint64_t DecodeId(std::string_view bytes);  // 0 where the bytes are no number.

}  // namespace ctrd::snapshots
