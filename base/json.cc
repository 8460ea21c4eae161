// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ctrd::base {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kGoEscapes = {{
    {"<", "\\u003c"},
    {">", "\\u003e"},
    {"&", "\\u0026"},
    {"\u2028", "\\u2028"},  // Line and paragraph separator.
    {"\u2029", "\\u2029"},
}};

}  // namespace

bool IsNestedDeeper(std::string_view json, int most) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string) {
      if (c == '\\') ++i;
    } else if (c == '{' || c == '[') {
      if (++depth > most) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

std::string EscapeAsGo(std::string json) {
  if (json.find_first_of("<>&\xe2") == json.npos) return json;
  std::string escaped;
  escaped.reserve(json.size() + json.size() / 8);
  for (size_t i = 0; i < json.size();) {
    const std::string_view rest = std::string_view(json).substr(i);
    const auto* const found =
        std::find_if(kGoEscapes.begin(), kGoEscapes.end(),
                     [&](const auto& escape) { return rest.starts_with(escape.first); });
    if (found == kGoEscapes.end()) {
      escaped += json[i++];
    } else {
      escaped += found->second;
      i += found->first.size();
    }
  }
  return escaped;
}

}  // namespace ctrd::base
