// SPDX-License-Identifier: Apache-2.0

// The rules for labels that all records share.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/identifiers.h"

namespace ctrd::metadata {

// `labels` checked against the size rule (messages begin with `prefix` and ": ") and without those
// that have no value, which are never stored.
//   kUnknown  a key is empty
absl::StatusOr<base::Labels> CheckLabels(const base::Labels& labels, std::string_view prefix);

// Sets `key` in `stored` as it is in `wanted`; a missing or empty value removes it.
void SetLabel(base::Labels& stored, const base::Labels& wanted, const std::string& key);

// For "labels.<key>" with `word` "labels": the key, else nullopt.
std::optional<std::string> KeyOfPath(std::string_view path, std::string_view word);

}  // namespace ctrd::metadata
