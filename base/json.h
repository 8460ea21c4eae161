// SPDX-License-Identifier: Apache-2.0
// JSON from others and for Go programs, over nlohmann's library: text that is nested too deep is
// refused before it is parsed (writing such a document again would take stack by its depth), and
// what is written is byte for byte what Go's encoder writes of it.
//
// Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "nlohmann/json.hpp"

namespace ctrd::base {

inline constexpr int kMostJsonDepth = 1000;  // Objects and arrays inside of one another.

// Whether brackets outside of strings are nested deeper than `most`.
bool IsNestedDeeper(std::string_view json, int most);

// Go escapes some characters inside of strings that JSON does not ask to escape.
std::string EscapeAsGo(std::string json);

// A discarded value (is_discarded) where `text` is no JSON, or nested deeper than kMostJsonDepth.
template <typename Json = nlohmann::json>
Json ParseJson(std::string_view text) {
  if (IsNestedDeeper(text, kMostJsonDepth)) return Json(nlohmann::detail::value_t::discarded);
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// `indent` < 0: on one line. What is no UTF-8 is written as U+FFFD.
template <typename Json>
std::string DumpJson(const Json& json, int indent = -1) {
  return EscapeAsGo(json.dump(indent, ' ', false, Json::error_handler_t::replace));
}

}  // namespace ctrd::base
