// SPDX-License-Identifier: Apache-2.0

// The grammar of one filter string. Only base/filter.cc needs it.
// Source document: docs/api/filters.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/status.h"

namespace ctrd::base::filter {

enum class Test { kPresent, kEqual, kNotEqual, kMatches };

struct Selector {
  std::vector<std::string> path;
  Test test = Test::kPresent;
  std::string value;
};

// The selectors of `text`, all of which must hold; none for an empty text.
//   kInvalidArgument  "filters: parse error: [<where>]: <what>: invalid argument"
absl::StatusOr<std::vector<Selector>> Parse(std::string_view text);

}  // namespace ctrd::base::filter
