// SPDX-License-Identifier: Apache-2.0
// Values of flags that have a form of their own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/spec/spec.h"

namespace ctrd::ctr {

// The fields of one line of comma-separated values; a field may be quoted, "" in it is a quote.
absl::StatusOr<std::vector<std::string>> SplitCsv(std::string_view line);

// "type=bind,src=/a,dst=/b,options=rbind:ro".
absl::StatusOr<runtime::SpecMount> ParseMount(std::string_view text);

// "<container id>:<host id>:<size>", numbers with 0x or 0 before them as in C. Never empty.
absl::StatusOr<std::vector<runtime::IdMapping>> ParseIdMappings(
    const std::vector<std::string>& texts);

struct NamespaceToJoin {
  std::string type;
  std::string path;  // "" makes a new one.
};
// "<type>:<path>".
absl::StatusOr<NamespaceToJoin> ParseNamespace(const std::string& text);

struct Limit {
  uint64_t soft = 0;
  uint64_t hard = 0;
};
// "soft[:hard]".
absl::StatusOr<Limit> ParseLimit(const std::string& text);

// The file that a flag names, whole.
absl::StatusOr<std::string> ReadGivenFile(const std::string& path);

}  // namespace ctrd::ctr
