// SPDX-License-Identifier: Apache-2.0

// The filter language of every list call and of event subscriptions.
// Source document: docs/api/filters.md.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ctrd::base {

// What a filter asks of an object: the value of a field, nullopt when it is not present. The path
// comes in its parts: {"labels", "a", "b"} for labels.a.b and for labels."a.b" alike is
// {"labels", "a.b"}; JoinFieldPath makes the label's key of both.
using FieldPath = std::vector<std::string>;
using FieldLookup = std::function<std::optional<std::string>(const FieldPath& path)>;

// The parts from `first` on, joined with dots: how a label key is read from a path.
std::string JoinFieldPath(const FieldPath& path, size_t first);

// One or more filter strings, of which one must match; none matches everything.
// Immutable after Parse, cheap to copy, thread-safe.
class Filter {
 public:
  Filter() = default;  // Matches everything.
  // kInvalidArgument "filters: parse error: [<where>]: <what>: invalid argument".
  static absl::StatusOr<Filter> Parse(std::span<const std::string> filters);

  bool Matches(const FieldLookup& lookup) const;

 private:
  struct Selector;
  std::shared_ptr<const std::vector<std::vector<Selector>>> alternatives_;
};

}  // namespace ctrd::base
