// SPDX-License-Identifier: Apache-2.0
#include "base/filter.h"

#include <re2/re2.h>

#include "base/filter_parser.h"
#include "base/log.h"

namespace ctrd::base {

struct Filter::Selector {
  explicit Selector(filter::Selector parsed) : parsed(std::move(parsed)) {
    if (this->parsed.test != filter::Test::kMatches) return;
    RE2::Options options;
    options.set_log_errors(false);
    regex = std::make_shared<RE2>(this->parsed.value, options);
    if (!regex->ok()) {
      LogWarn("filter with a regular expression that does not compile, matching nothing",
              {{"expression", this->parsed.value}, {"error", regex->error()}});
    }
  }

  bool Matches(const FieldLookup& lookup) const {
    const std::optional<std::string> found = lookup(parsed.path);
    switch (parsed.test) {
      case filter::Test::kPresent:
        return found.has_value();
      case filter::Test::kEqual:
        return found.has_value() && *found == parsed.value;
      case filter::Test::kNotEqual:
        return found.value_or("") != parsed.value;
      case filter::Test::kMatches:
        return regex->ok() && RE2::PartialMatch(found.value_or(""), *regex);
    }
    return false;
  }

  filter::Selector parsed;
  std::shared_ptr<RE2> regex;  // Only for kMatches; RE2 is safe to share between threads.
};

std::string JoinFieldPath(const FieldPath& path, size_t first) {
  std::string joined;
  for (size_t i = first; i < path.size(); ++i) {
    if (i > first) joined += '.';
    joined += path[i];
  }
  return joined;
}

absl::StatusOr<Filter> Filter::Parse(std::span<const std::string> filters) {
  Filter result;
  if (filters.empty()) return result;
  auto alternatives = std::make_shared<std::vector<std::vector<Selector>>>();
  for (const std::string& text : filters) {
    ASSIGN_OR_RETURN(std::vector<filter::Selector> parsed, filter::Parse(text));
    std::vector<Selector>& selectors = alternatives->emplace_back();
    for (filter::Selector& selector : parsed) selectors.emplace_back(std::move(selector));
  }
  result.alternatives_ = std::move(alternatives);
  return result;
}

bool Filter::Matches(const FieldLookup& lookup) const {
  if (alternatives_ == nullptr) return true;
  return std::any_of(alternatives_->begin(), alternatives_->end(), [&](const auto& selectors) {
    return std::all_of(selectors.begin(), selectors.end(),
                       [&](const Selector& selector) { return selector.Matches(lookup); });
  });
}

}  // namespace ctrd::base
